sandbox "box" {
  image = "base"

  network "tap" {
    bridge = "br0"

    egress {
      allow = ["192.0.2.0/24:443"]
    }
  }
}

sandbox "other" {
  image = "base"

  network "tap" {
    publish {
      guest_port = 80
    }
  }
}

sandbox "third" {
  image = "base"

  network "tap" {
    limits {
      connections = 1
    }
  }
}

sandbox "fourth" {
  image = "base"

  network "tap" {
    devise = "tap0"
  }
}
