sandbox "box" {
  main = []
}
