sandbox "box" {
  image = "base"
  cpus  = 1.5
}
