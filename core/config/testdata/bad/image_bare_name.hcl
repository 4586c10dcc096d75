sandbox "box" {
  image = "debian"
}
