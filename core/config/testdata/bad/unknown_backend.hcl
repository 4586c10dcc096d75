sandbox "box" {
  backend = "qmeu"
  image   = "base"
}
