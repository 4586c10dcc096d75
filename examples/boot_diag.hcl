# A sandbox without an agent: its main process tells what was booted.

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock"
  default     = "auto"
}

variable "memory" {
  default = "512MiB"
}

sandbox "diag" {
  backend = var.backend
  image   = "base"
  cpus    = 1
  memory  = var.memory

  main = ["/bin/sh", "-c", <<-EOT
    echo "kernel:"
    uname -a
    echo "cpus:"
    if [ -r /proc/cpuinfo ]; then grep -c "^processor" /proc/cpuinfo; else echo "not known"; fi
    echo "memory:"
    if [ -r /proc/meminfo ]; then grep "^Mem" /proc/meminfo; else echo "not known"; fi
    echo "mounts:"
    if [ -r /proc/mounts ]; then cat /proc/mounts; else echo "not known"; fi
  EOT
  ]
}
