sandbox "box" {
  main    = ["sleep", "infinity"]
  restart = "on-fail"
}
