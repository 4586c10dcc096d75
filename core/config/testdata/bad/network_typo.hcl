sandbox "box" {
  image = "base"

  network "slirp" {
    egress {
      alow = []
    }
  }
}
