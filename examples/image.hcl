# A root file system out of a registry. The image becomes a disk once; what the guest writes goes to a disk of its own, which is gone
# with it. `voidbox image pull docker.io/library/python:3.13-slim` fetches it in advance.

variable "backend" {
  default = "auto"
}

variable "image" {
  default     = "docker.io/library/python:3.13-slim"
  description = "A registry's image, oci:./layout, docker-archive:./image.tar or dir:./rootfs."
}

sandbox "python" {
  backend = var.backend
  image   = var.image
  main    = ["sh", "-c", "echo $GREETING from $(hostname)"]
  disk    = "4GiB"

  env = { GREETING = "hello" }
}
