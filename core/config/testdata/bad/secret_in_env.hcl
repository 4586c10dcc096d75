secret "s" {
  env = "TOKEN"
}

sandbox "box" {
  image = "base"
  env   = { AUTH = "Bearer ${secret.s}" }
}
