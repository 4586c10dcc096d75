sandbox "box" {
  image = "base"
  env   = { A = ["x"] }
}
