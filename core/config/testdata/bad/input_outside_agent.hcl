sandbox "box" {
  image    = "base"
  hostname = input.name
}
