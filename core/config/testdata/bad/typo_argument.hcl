sandbox "box" {
  imagee = "base"
}
