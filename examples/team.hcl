# Two agents: the lead gives a part of its task to the other, which works in the same sandbox with a prompt of its own. What both
# spend counts for the lead. The program that the second one uses is looked for before any model is asked.
#
#   voidbox run examples/team.hcl

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock"
  default     = "auto"
}

sandbox "box" {
  backend = var.backend
  image   = "base"
}

# A recorded model: the demo needs no key.
llm "replay" "main" {
  cassette = "cassettes/team.json"
}

skill "cli" "wc" {
  description = "Counts lines, words and bytes."
  content     = "Use `wc -l < FILE`."
}

agent "counter" {
  sandbox = sandbox.box
  llm     = llm.replay.main
  skills  = [skill.cli.wc]
  prompt  = "You count. ${input.task}"
}

skill "agent" "counter" {
  description = "Counts what is in files."
  agent       = agent.counter
}

agent "lead" {
  sandbox = sandbox.box
  llm     = llm.replay.main
  skills  = [skill.agent.counter]
  prompt  = "Write three lines to /tmp/lines and have them counted."

  budget {
    tokens = 10000
  }
}
