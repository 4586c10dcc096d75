# Plan, then apply: one agent looks at a task and writes down the steps, another carries them out in a sandbox of its own.
#
#   export ANTHROPIC_API_KEY=sk-ant-...
#   voidbox run examples/claude_workflow.hcl
#
# The key stays on the host. The model is asked by voidbox; its tools run in the sandboxes.

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock"
  default     = "auto"
}

variable "base_url" {
  description = "a server that speaks the Messages API"
  default     = "https://api.anthropic.com"
}

variable "task" {
  default = "a shell script /tmp/greet.sh that greets the person named by its first argument"
}

secret "anthropic" {
  env = "ANTHROPIC_API_KEY"
}

sandbox "workshop" {
  backend = var.backend
  image   = "base"
}

llm "claude" "main" {
  base_url = var.base_url
  api_key  = secret.anthropic
  model    = "claude-sonnet-5-5"
}

agent "planner" {
  sandbox   = sandbox.workshop
  llm       = llm.claude.main
  max_turns = 10
  tools     = []
  prompt    = "Plan, but do not do: ${input.task}. Answer with numbered steps."
}

agent "worker" {
  sandbox   = sandbox.workshop
  llm       = llm.claude.main
  max_turns = 20
  prompt    = "Carry out this plan, try the result, and tell what it printed:\n${input.plan}"
}

pipeline "workflow" {
  stage "plan" {
    agent = agent.planner
    input = { task = var.task }
  }

  stage "apply" {
    agent = agent.worker
    input = { plan = stage.plan.output }
  }

  output "result" {
    value = stage.apply.output
  }
}
