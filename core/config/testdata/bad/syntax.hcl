sandbox "box" {
  image = 
}
