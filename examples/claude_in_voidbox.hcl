# Claude Code on your terminal, in a machine of its own: it sees your project, may do as it likes, and your files stay as they are until you
# have looked at what it changed.
#
#   voidbox agent-image claude-code                  # once: an image with Claude Code, fetched from npm
#   export ANTHROPIC_API_KEY=sk-ant-...
#   voidbox run examples/claude_in_voidbox.hcl       # from where your project is: --var project=.
#   voidbox diff RUN && voidbox apply RUN
#
# The key stays on the host. The guest reaches the model through the broker, and of the internet what is allowed below.

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock"
  default     = "auto"
}

variable "project" {
  description = "directory to work on"
  default     = "skills"
}

variable "image" {
  description = "an image that holds Claude Code and bash"
  default     = "localhost/voidbox/claude-code"
}

variable "command" {
  description = "Claude Code in the image"
  type        = string
  default     = null
}

variable "command_file" {
  description = "a static program of the host in its place, such as bin/claude-stand-in"
  type        = string
  default     = null
}

variable "base_url" {
  description = "a server that speaks the Messages API"
  default     = "https://api.anthropic.com"
}

secret "anthropic" {
  env = "ANTHROPIC_API_KEY"
}

sandbox "desk" {
  backend     = var.backend
  image       = var.image
  cpus        = 2
  memory      = "2GiB"
  working_dir = "/workspace"

  mount "/workspace" {
    source = var.project
    mode   = "overlay"
  }

  network "slirp" {
    egress {
      allow = ["*.npmjs.org:443", "*.pypi.org:443", "proxy.golang.org:443"]
    }
  }
}

llm "claude" "main" {
  api_key      = secret.anthropic
  base_url     = var.base_url
  model        = "claude-sonnet-5-5"
  command      = var.command
  command_file = var.command_file
}

agent "claude" {
  sandbox     = sandbox.desk
  llm         = llm.claude.main
  interactive = true
  prompt      = "Say what you see in /workspace in one sentence, and then wait for what I ask of you."
}
