sandbox "box" {
  image = "./disk.img"
  main  = ["/bin/server"]
  args  = ["--port", "80"]
}
