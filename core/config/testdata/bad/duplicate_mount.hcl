sandbox "box" {
  image = "base"

  mount "/data" {
    source = "."
  }

  mount "/data" {
    source = "."
  }
}
