# A sandbox that may fetch packages from PyPI and reach one server of the host, and nothing else. Its own web server becomes a port of
# the host's.
#
#   python3 -m http.server 8000 --bind 127.0.0.1 &        something for the guest to reach
#   voidbox run examples/network.hcl                      what is denied is said, with the line that denies it
#   voidbox why examples/network.hcl example.com:443      why it would be, before anything runs
#   voidbox ps                                            while it runs: where its port is
#   voidbox run --pcap guest.pcap examples/network.hcl    every packet of the guest

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock, which has no network"
  default     = "auto"
}

sandbox "box" {
  backend = var.backend
  image   = "base"

  main = ["/bin/sh", "-c", <<-EOT
    if wget -q -O - http://10.0.2.2:8000/; then echo "that was the host"; else echo "nobody serves at the host's port 8000"; fi
    if wget -q -O - http://198.51.100.1/; then echo "this must not be"; else echo "elsewhere: refused"; fi
  EOT
  ]

  network "slirp" {
    egress {
      allow = ["pypi.org:443", "*.pythonhosted.org:443"]
    }

    limits {
      connections = 100
      total_bytes = "1GiB"
    }

    service "host" {
      address = "10.0.2.2:8000"
      tcp     = "127.0.0.1:8000"
    }

    publish {
      guest_port = 8080
    }
  }
}
