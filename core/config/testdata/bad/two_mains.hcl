sandbox "box" {
  main = ["/bin/a"]
  main = ["/bin/b"]
}
