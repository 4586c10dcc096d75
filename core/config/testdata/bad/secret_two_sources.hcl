secret "s" {
  env  = "TOKEN"
  file = "x"
}
