# An agent that does what a ticket asks for. Its sandbox has no network and none of the host's files: the tickets are reached through
# a plugin, by two tools. README.md says how it is built and found.
#
#   VOIDBOX_PLUGIN_PATH=$PWD voidbox run tickets.hcl

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
  cassette = "cassette.json"
}

skill "tickets" "tickets" {
  directory = "tickets"
}

agent "helper" {
  sandbox = sandbox.box
  llm     = llm.replay.main
  skills  = [skill.tickets.tickets]
  prompt  = "Do what ticket 7 asks for."
}
