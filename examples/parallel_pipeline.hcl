# A diamond: one agent plans, several research at once, one writes. The references between the stages are its edges.

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock"
  default     = "auto"
}

variable "topics" {
  type    = set(string)
  default = ["boot", "isolation", "speed"]

  validation {
    condition     = length(var.topics) > 0
    error_message = "There must be something to research."
  }
}

sandbox "lab" {
  backend = var.backend
  image   = "base"
}

llm "replay" "main" {
  cassette = "cassettes/parallel_pipeline.json"
}

agent "planner" {
  sandbox   = sandbox.lab
  llm       = llm.replay.main
  max_turns = 10
  prompt    = "Say in one sentence how a report on micro-VMs should treat these topics: ${join(", ", input.topics)}."
}

agent "researcher" {
  sandbox   = sandbox.lab
  llm       = llm.replay.main
  max_turns = 10

  prompt = <<-EOT
    The plan of the report: ${input.plan}
    Research the topic "${input.topic}": write one sentence about it to /tmp/${input.topic}.txt, read it back with `cat`, and
    give it as your answer.
  EOT
}

agent "writer" {
  sandbox   = sandbox.lab
  llm       = llm.replay.main
  max_turns = 10

  prompt = <<-EOT
    Write the report from these parts:
    %{for topic, text in input.parts~}
    - ${topic}: ${text}
    %{endfor~}
  EOT
}

pipeline "report" {
  max_parallel = 3

  stage "plan" {
    agent = agent.planner
    input = { topics = var.topics }
  }

  stage "research" {
    for_each = var.topics
    agent    = agent.researcher
    input    = { topic = each.key, plan = stage.plan.output }
    timeout  = "5m"

    retry {
      attempts = 2
      backoff  = "1s"
    }
  }

  stage "write" {
    agent = agent.writer
    input = { parts = { for topic, s in stage.research : topic => s.output } }
  }

  output "report" {
    value = stage.write.output
  }

  output "tokens" {
    description = "What the research took."
    value       = sum([for s in stage.research : s.input_tokens + s.output_tokens])
  }
}
