sandbox "box" {
  image = "base"

  network "none" {}

  network "slirp" {}
}
