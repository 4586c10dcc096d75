sandbox "box" {
  image = "base"
  cpus  = "many"
}
