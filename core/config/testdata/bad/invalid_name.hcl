sandbox "my box" {
  image = "base"
}
