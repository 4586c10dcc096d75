secret "s" {
  env = "TOKEN"
}

skill "inline" "login" {
  content = "The password is ${secret.s}."
}
