sandbox "box" {
  image = "base"
}

sandbox "box" {
  image = "base"
}
