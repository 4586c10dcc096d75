variable "mirrors" {
  default = ["mirror.example:80", "[2001:db8::/32]:8000-8100"]
}

sandbox "box" {
  image = "base"

  network "slirp" {
    debug = true

    egress {
      allow = [
        "*.pypi.org:443",
        "10.0.0.0/8:5432,5433/tcp",
      ]
      deny = ["10.9.0.0/16"]
    }

    limits {
      connections                = 100
      new_connections_per_second = 20
      bytes_per_second           = "10MiB"
      total_bytes                = "1GiB"
    }

    service "ollama" {
      address = "10.0.2.2:11434"
      tcp     = "127.0.0.1:11434"
    }

    service "time" {
      address = "10.0.2.2:123"
      udp     = "127.0.0.1:123"
    }

    service "broker" {
      address = "10.0.2.2:80"
      unix    = "broker.sock"
    }

    publish {
      guest_port = 80
      host_port  = 8080
    }
  }
}

sandbox "list" {
  image = "base"

  network "slirp" {
    layout {
      subnet  = "192.168.64.0/24"
      guest   = "192.168.64.100"
      ipv6    = false
      mtu     = 65520
      gateway = "192.168.64.1"
    }

    service "here" {
      address = "192.168.64.1:80"
      tcp     = "127.0.0.1:80"
    }

    egress {
      allow = var.mirrors
    }
  }
}
