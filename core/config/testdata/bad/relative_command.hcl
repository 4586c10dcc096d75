sandbox "box" {
  main     = ["sleep", "infinity"]
  commands = ["git", "bin/ls"]
}
