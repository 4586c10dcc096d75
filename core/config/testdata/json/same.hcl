variable "topics" {
  type    = set(string)
  default = ["a", "b"]
}

locals {
  shout = upper("x")
  words = [for w in ["p", "q"] : "${w}!"]
}

secret "key" {
  env = "API_KEY"
}

sandbox "box" {
  backend = "mock"
  main    = ["/bin/sh", "-c", "sleep 1"]
  memory  = "1GiB"
  env     = { WORDS = join(",", local.words) }

  limits {
    open_files = 64
  }

  network "slirp" {
    egress {
      allow = ["example.org:443"]
    }
  }
}

llm "claude" "main" {
  model   = "m"
  api_key = secret.key
}

skill "inline" "s" {
  content = "text"
}

agent "a" {
  sandbox = sandbox.box
  llm     = llm.claude.main
  skills  = [skill.inline.s]
  prompt  = "${local.shout}: ${input.topic}"

  budget {
    usd = 2
  }
}

pipeline "p" {
  stage "each" {
    for_each = var.topics
    agent    = agent.a
    input    = { topic = each.key }
  }

  stage "last" {
    agent      = agent.a
    input      = { topic = join("+", [for k, s in stage.each : s.output]) }
    depends_on = [stage.each]
  }

  output "o" {
    value = { last = stage.last.output, n = 1 }
  }
}
