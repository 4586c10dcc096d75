sandbox "box" {
  image = "base"
  disk  = "1GiB"
}
