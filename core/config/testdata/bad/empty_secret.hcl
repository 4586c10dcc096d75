secret "s" {
  env = "EMPTY"
}
