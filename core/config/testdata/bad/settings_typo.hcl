sandbox "box" {
  backend = "qemu"
  image   = "base"

  settings {
    debgu = true
  }
}
