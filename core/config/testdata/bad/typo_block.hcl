sandbx "box" {
  image = "base"
}
