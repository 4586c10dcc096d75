# What Hacker News talks about: an agent that knows an API from a skill, and may reach that API and nothing else.
#
#   voidbox run examples/hackernews.hcl
#   voidbox why examples/hackernews.hcl example.com:443        what the file says of other hosts
#
# Against a server of your own that answers as the API does:
#
#   voidbox run --var api=http://hn/v0 --var server=127.0.0.1:8001 examples/hackernews.hcl

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock, which has no network"
  default     = "auto"
}

variable "api" {
  description = "URL of the API"
  default     = "https://hacker-news.firebaseio.com/v0"
}

variable "server" {
  description = "address and port of a server of this machine, which the guest calls hn"
  default     = "127.0.0.1:8001"
}

variable "stories" {
  default = 3
}

sandbox "box" {
  backend = var.backend
  image   = "base"

  network "slirp" {
    egress {
      allow = ["hacker-news.firebaseio.com:443"]
    }

    service "hn" {
      address = "10.0.2.9:80"
      tcp     = var.server
    }
  }
}

skill "file" "hackernews" {
  path = "skills/hackernews.md"
}

# A recorded model: the demo needs no key.
llm "replay" "main" {
  cassette = "cassettes/hackernews.json"
}

agent "reader" {
  sandbox     = sandbox.box
  llm         = llm.replay.main
  skills      = [skill.file.hackernews]
  max_turns   = 8
  output_file = "/tmp/stories.md"
  prompt      = "Write the titles of the top ${var.stories} stories of the API at ${var.api} into /tmp/stories.md, one on a line."
}
