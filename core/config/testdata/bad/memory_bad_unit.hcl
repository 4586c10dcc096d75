sandbox "box" {
  image  = "base"
  memory = "1 gigabyte"
}
