# A machine for code that nobody trusts: it sees the code, cannot change it, and has no network. main.go does the same as a program.
#
#   voidbox sandbox create job --file examples/complete/sandbox.hcl
#   voidbox exec job -- sh /mnt/code/script.sh
#   voidbox exec job -- cat /tmp/results.json
#   voidbox sandbox stop job && voidbox sandbox remove job
#
# The built-in image has no Python. One that has runs script.py, fetched once:
#
#   voidbox sandbox create job --file examples/complete/sandbox.hcl --var image=docker.io/library/python:3.13-slim
#   voidbox exec job -- python3 /mnt/code/script.py

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm or qemu; a mock lends no directories"
  default     = "auto"
}

variable "image" {
  description = "root file system"
  default     = "base"
}

sandbox "job" {
  backend = var.backend
  image   = var.image
  cpus    = 2
  memory  = "512MiB"
  main    = ["sleep", "infinity"]

  mount "/mnt/code" {
    source = "code"
    mode   = "ro"
  }
}
