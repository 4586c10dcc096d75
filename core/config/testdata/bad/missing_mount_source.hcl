sandbox "box" {
  image = "base"

  mount "/data" {
    source = "nothing-here"
  }
}
