sandbox "box" {
  image = "base"

  network "slirp" {
    egress {
      allow = [
        "pypi.org:https",
        "ntp.example:123/udp",
        "127.0.0.1:80",
        "10.0.0.1/8",
      ]
      deny = ["a b"]
    }

    service "ollama" {
      address = "10.0.2.2"
      tcp     = "127.0.0.1:11434"
    }

    publish {
      guest_port = 0
    }
  }
}

sandbox "other" {
  image = "base"

  network "slirp" {
    egress {
      allow = ["pypi.org:443", "1.1.1.1:53"]
    }
  }
}

sandbox "third" {
  image = "base"

  network "slirp" {
    egres {
    }
  }
}
