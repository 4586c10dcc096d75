sandbox "box" {
  image  = "base"
  memory = 512
}
