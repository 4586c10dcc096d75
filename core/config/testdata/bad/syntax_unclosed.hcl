sandbox "box" {
  image = "base"
