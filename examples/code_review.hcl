# A review in two stages: one agent reads a change that anybody may have written, and holds nothing that is worth stealing; another posts
# what it wrote, and holds the token, but reads nothing of strangers.
#
#   export REVIEW_TOKEN=...
#   voidbox run --var forge=127.0.0.1:8002 examples/code_review.hcl
#
# The token is a secret that a program in the guest must hold for real, so that it is named in `expose`; `voidbox plan` says so in words.
# The keys of models never enter a guest: see claude_workflow.hcl.

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock, which has no network"
  default     = "auto"
}

variable "forge" {
  description = "address and port of the server that takes reviews"
  default     = "127.0.0.1:8002"
}

secret "review" {
  env = "REVIEW_TOKEN"
}

sandbox "reader" {
  backend = var.backend
  image   = "base"
}

sandbox "publisher" {
  backend = var.backend
  image   = "base"
  env     = { REVIEW_TOKEN = secret.review }
  expose  = [secret.review]

  network "slirp" {
    egress {} # the service needs no rule, and nothing else has one

    service "forge" {
      address = "10.0.2.9:80"
      tcp     = var.forge
    }
  }
}

llm "replay" "main" {
  cassette = "cassettes/code_review.json"
}

agent "reviewer" {
  sandbox   = sandbox.reader
  llm       = llm.replay.main
  max_turns = 5
  artefacts = ["/tmp/review.md"]

  prompt = <<-EOT
    Review this change, and write what you find to /tmp/review.md:

    ${file("code_review.diff")}
  EOT
}

agent "publisher" {
  sandbox   = sandbox.publisher
  llm       = llm.replay.main
  max_turns = 5
  prompt    = "Post /tmp/in/review.md to http://forge/reviews, with the token in REVIEW_TOKEN as bearer. Do not read the review."
}

pipeline "review" {
  stage "review" {
    agent = agent.reviewer
  }

  stage "publish" {
    agent = agent.publisher
    files = { "/tmp/in" = stage.review.artefacts }
  }

  output "posted" {
    value = stage.publish.output
  }
}
