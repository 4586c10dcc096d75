variable "symbols" {
  type    = list(string)
  default = ["AAPL", "MSFT"]
}

variable "backend" {
  default = "auto" # kvm, else qemu; never mock unless asked
}

secret "anthropic" {
  env = "API_KEY"
}

sandbox "quant" {
  backend = var.backend
  image   = "base"
  cpus    = 2
  memory  = "1GiB"

  network "slirp" {
    egress {
      allow = ["*.pypi.org:443"]
    }
  }

  mount "/workspace" {
    source = "."
    mode   = "rw"
  }
}

llm "claude" "main" {
  model   = "claude-sonnet-5"
  api_key = secret.anthropic
}

skill "file" "hn" {
  path = "skills/hackernews-api.md"
}

agent "analyst" {
  sandbox = sandbox.quant
  llm     = llm.claude.main
  skills  = [skill.file.hn]
  prompt  = "Analyse ${input.symbol}"

  budget {
    usd = 0.5
  }
}

agent "writer" {
  sandbox = sandbox.quant
  llm     = llm.claude.main
  prompt  = "Write the report."
}

pipeline "report" {
  stage "quant" {
    for_each = toset(var.symbols)
    agent    = agent.analyst
    input    = { symbol = each.key }
  }

  stage "write" {
    agent = agent.writer
    input = { parts = { for k, s in stage.quant : k => s.output } }
  }

  output "report" {
    value = stage.write.output
  }
}
