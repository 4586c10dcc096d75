# Two agents, one after the other: the strategist works with what the analyst found.

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock"
  default     = "auto"
}

variable "symbol" {
  default = "ACME"
}

sandbox "desk" {
  backend = var.backend
  image   = "base"
}

llm "replay" "main" {
  cassette = "cassettes/quick_demo.json"
}

skill "inline" "prices" {
  description = "How to read the price file."
  content     = "Prices are one per line: date, a space, the closing price. The newest line is the last."
}

agent "analyst" {
  sandbox   = sandbox.desk
  llm       = llm.replay.main
  skills    = [skill.inline.prices]
  max_turns = 10

  prompt = <<-EOT
    Write three days of invented prices of ${input.symbol} to /tmp/prices.txt, count its lines with `wc -l`, and say in one
    sentence which way the price goes.
  EOT
}

agent "strategist" {
  sandbox   = sandbox.desk
  llm       = llm.replay.main
  max_turns = 10

  prompt = <<-EOT
    An analyst says of ${input.symbol}: ${input.finding}
    Decide: buy, hold or sell. Write the decision to /tmp/decision.txt, read it back, and give it as your answer.
  EOT

  output_file = "/tmp/decision.txt"
}

pipeline "desk" {
  stage "analyse" {
    agent = agent.analyst
    input = { symbol = var.symbol }
  }

  stage "decide" {
    agent = agent.strategist
    input = { symbol = var.symbol, finding = stage.analyse.output }
  }

  output "decision" {
    value = stage.decide.output
  }
}
