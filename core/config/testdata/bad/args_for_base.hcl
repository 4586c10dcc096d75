sandbox "box" {
  image = "base"
  args  = ["-v"]
}
