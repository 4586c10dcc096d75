sandbox "box" {
  image = "./disk.img"
}
