secret "s" {
  env = "NOT_SET"
}
