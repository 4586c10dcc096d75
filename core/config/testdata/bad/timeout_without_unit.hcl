sandbox "box" {
  image         = "base"
  ready_timeout = 30
}
