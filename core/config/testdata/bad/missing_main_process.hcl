sandbox "box" {
  memory = "1GiB"
}
