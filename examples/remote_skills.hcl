# An agent with a skill from a server. Only the files that the hash names are used, wherever they come from.
#
#   tar -C examples -cf skills.tar skills
#   python3 -m http.server 8000 --bind 127.0.0.1 &
#   voidbox run examples/remote_skills.hcl
#
# From a Git repository it would be source = "git::https://host/repository.git//skills/prices" and ref = "v1".

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock"
  default     = "auto"
}

variable "server" {
  description = "where skills.tar lies"
  default     = "http://127.0.0.1:8000"
}

sandbox "box" {
  backend = var.backend
  image   = "base"
}

# A recorded model: the demo needs no key.
llm "replay" "main" {
  cassette = "cassettes/remote_skills.json"
}

skill "remote" "prices" {
  source = "${var.server}/skills.tar//skills/prices"
  hash   = "h1:avRMuJMPIvGE0OfEZsc5fUMY4ol9kdjNyW/Xk7F+44o="
}

agent "reader" {
  sandbox   = sandbox.box
  llm       = llm.replay.main
  skills    = [skill.remote.prices]
  max_turns = 5
  prompt    = "Read the skill about prices and tell me in a sentence what it says."
}
