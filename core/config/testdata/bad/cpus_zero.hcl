sandbox "box" {
  image = "base"
  cpus  = 0
}
