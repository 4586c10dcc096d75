sandbox "box" {
  image = "base"

  settings {
    debug = true
  }
}
