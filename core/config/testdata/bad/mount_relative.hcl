sandbox "box" {
  image = "base"

  mount "../data" {
    source = "."
  }
}
