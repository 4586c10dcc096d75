sandbox "box" {
  main     = ["sleep", "infinity"]
  commands = []
}
