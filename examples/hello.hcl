# An agent finds out where it is.
#
#   voidbox run examples/hello.hcl                      in a real VM
#   voidbox run --var backend=mock examples/hello.hcl   in memory, for tests

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock"
  default     = "auto"
}

sandbox "box" {
  backend = var.backend
  image   = "base"
}

# A recorded model: the demo needs no key and no network.
llm "replay" "main" {
  cassette = "cassettes/hello.json"
}

agent "hello" {
  sandbox   = sandbox.box
  llm       = llm.replay.main
  max_turns = 10

  prompt = <<-EOT
    Which machine is this? Run `uname -a` and show what it prints.
    Then write a greeting to /tmp/hello.txt, read the file back, and tell what it says.
  EOT
}
