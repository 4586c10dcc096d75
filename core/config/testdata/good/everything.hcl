# Every block and nearly every argument.

voidbox {
  required_version = ">= 1.2, < 2"

  required_plugins {
    llm "echo" {
      version = "~> 1.0"
      sha256  = "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"
    }
  }

  dev_overrides = { llm-mine = "bin/voidbox-llm-mine" }
}

locals {
  words  = [for w in split(" ", "three small words") : upper(w)]
  bigger = local.size * 2
  size   = var.settings.cpus
  fast   = true
}

variable "settings" {
  type = object({
    cpus = optional(number, 2)
    name = string
  })
  default     = { name = "x" }
  description = "Some settings."

  validation {
    condition     = var.settings.cpus > 0
    error_message = "There must be a CPU."
  }
}

variable "password" {
  default   = "open-sesame"
  sensitive = true
}

secret "token" {
  env         = "TOKEN"
  description = "Of the service."
}

secret "key" {
  env = "API_KEY"
}

sandbox "full" {
  backend       = "qemu"
  main          = ["/bin/server", "--password", var.password]
  cpus          = local.bigger
  memory        = "1.5GiB"
  hostname      = "full-house"
  user          = "root"
  working_dir   = "/srv"
  commands      = ["git", "/usr/bin/"]
  env           = { AUTH = "Bearer ${secret.token}", EMPTY = null }
  expose        = [secret.token, var.password]
  ready_timeout = "1m30s"

  limits {
    memory     = 1073741824
    open_files = 1024
    processes  = 100
    file_size  = "10MB"
    cpu_time   = "10m"
  }

  network "none" {}

  mount "/data" {
    source = "skills"
  }

  mount "/scratch" {
    source = "."
    mode   = "overlay"
  }

  settings {
    binary = "qemu-bin"
    debug  = local.fast
  }
}

sandbox "simple_box" {
  backend = "mock"
  image   = "base"
}

llm "claude" "main" {
  model   = "large"
  api_key = base64encode(secret.key)
  headers = { x = "y" }
}

llm "replay" "cheap" {
  cassette = "cassette.json"
}

skill "inline" "style" {
  description = "How to write."
  content     = "Be brief."
}

skill "remote" "review" {
  source = "git::https://git.example/skills.git//review"
  ref    = "v1"
  hash   = "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
}

skill "mcp" "local" {
  command = ["uvx", "server"]
  env     = { LEVEL = "debug" }
}

skill "mcp" "tickets" {
  command = ["tickets", "--stdio"]
  on      = "host"
  env     = { TOKEN = secret.token }
  tools   = ["list", "show"]
  timeout = "30s"
}

skill "mcp" "behind" {
  url     = "https://mcp.example/mcp"
  on      = "host"
  headers = { Authorization = "Bearer ${secret.token}" }
}

skill "mcp" "far" {
  url = "https://mcp.example/mcp"
}

skill "toolbox" "files" {
  description = "Files."
  command     = ["server", "--stdio"]

  tool {
    name = "list"
  }

  tool {
    name = "get"
  }
}

agent "single" {
  sandbox      = sandbox.full
  llm          = local.fast ? llm.claude.main : llm.claude.main
  prompt       = templatefile("prompt.tmpl", { topic = "tests", words = local.words })
  system       = "The password is ${var.password}."
  model        = "small"
  tools        = ["bash", "read"]
  mode         = "native"
  max_turns    = 7
  output_file  = "/tmp/out.txt"
  output_limit = "1KiB"

  budget {
    usd    = 1.25
    tokens = 1000
    time   = "5m"
  }
}

agent "template" {
  sandbox = sandbox.simple_box
  llm     = llm.replay.cheap
  skills  = [skill.inline.style, skill.toolbox.files]
  prompt  = "About ${input.topic}, in ${try(input.language, "English")}: ${input.before}"
  tools   = ["list"]
}

pipeline "all" {
  max_parallel = 4

  stage "first" {
    agent = agent.single
  }

  stage "fetch" {
    for_each = { a = "apples", b = "bears" }
    agent    = agent.template
    input    = { topic = each.value, before = "nothing" }
    timeout  = "10m"

    retry {
      attempts = 3
      backoff  = "2s"
    }
  }

  stage "check" {
    for_each   = toset(["a", "b"])
    agent      = agent.template
    input      = { topic = each.key, before = stage.fetch[each.key].output, language = "French" }
    depends_on = [stage.first]
  }

  stage "only_a" {
    agent = agent.template
    input = { topic = "a", before = stage.check["a"].output }
  }

  output "tokens" {
    value = sum([for s in stage.check : s.input_tokens + s.output_tokens])
  }

  output "hidden" {
    value     = "${secret.token} ${stage.first.output}"
    sensitive = true
  }

  output "object" {
    value = { turns = stage.first.turns, tools = stage.first.tools, cost = stage.first.cost_usd, half = 0.5 }
  }
}

output "last" {
  value       = stage.only_a.output
  description = "Outside of the pipeline."
}
