sandbox "box" {
  image  = "base"
  memory = 0
}
