# An agent reads a page. Its sandbox reaches one server of this machine, by a name, and nothing else.
#
#   echo "The moon is made of basalt." > index.html
#   python3 -m http.server 8000 --bind 127.0.0.1 &
#   voidbox run examples/fetch.hcl

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock, which has no network"
  default     = "auto"
}

variable "server" {
  description = "address and port of the server"
  default     = "127.0.0.1:8000"
}

sandbox "box" {
  backend = var.backend
  image   = "base"

  network "slirp" {
    egress {} # the service needs no rule, and nothing else has one

    service "library" {
      address = "10.0.2.9:80"
      tcp     = var.server
    }
  }
}

# A recorded model: the demo needs no key.
llm "replay" "main" {
  cassette = "cassettes/fetch.json"
}

agent "reader" {
  sandbox   = sandbox.box
  llm       = llm.replay.main
  max_turns = 5
  prompt    = "Fetch http://library/ and tell me what the page says. Then try the same with http://example.com/."
}
