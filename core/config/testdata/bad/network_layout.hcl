sandbox "a" {
  image = "base"

  network "slirp" {
    layout {
      subnet = "10.0.2.1/24"
    }
  }
}

sandbox "b" {
  image = "base"

  network "slirp" {
    layout {
      ipv6 = "maybe"
      mtu  = 100000
    }
  }
}

sandbox "c" {
  image = "base"

  network "slirp" {
    layout {
      subnet = "10.9.0.0/24"
    }

    service "guest" {
      address = "10.9.0.15:80"
      tcp     = "127.0.0.1:80"
    }
  }
}
