# A push from the guest with a key that stays here: the guest has an SSH agent, whose other end is on this machine. It lists the key
# and signs logins at the host, nothing else, and each use is told of.
#
#   ssh-keygen -t ed25519 -N '' -f ~/.ssh/deploy_site      # once; give the forge the .pub file as a deploy key that may write
#   voidbox run examples/deploy-key/push.hcl --var key=~/.ssh/deploy_site --var repository=git@github.com:me/site.git

variable "backend" {
  default = "auto"
}

variable "image" {
  default     = "docker.io/library/buildpack-deps:bookworm-scm"
  description = "An image with git and ssh."
}

variable "key" {
  type        = string
  description = "File of the private key."
}

variable "host" {
  default     = "github.com"
  description = "Where the key logs in, as HOST or HOST:PORT."
}

variable "repository" {
  type        = string
  description = "Repository to push to, as git takes it."
}

variable "known_hosts" {
  type        = list(string)
  default     = []
  description = "Lines of a known_hosts file, for hosts that are not among the usual forges."
}

sandbox "push" {
  backend     = var.backend
  image       = var.image
  known_hosts = var.known_hosts

  deploy_key "site" {
    source = var.key
    hosts  = [var.host]
  }

  network "slirp" {}

  env = { REPOSITORY = var.repository }

  main = ["sh", "-ec", <<-EOT
    git init -q -b main /tmp/site && cd /tmp/site
    date > index.html && git add .
    git -c user.name=guest -c user.email=guest@example.com commit -q -m "from a guest"
    git push -q --force "$REPOSITORY" main:voidbox
    echo "pushed $(git rev-parse --short HEAD)"
  EOT
  ]
}
