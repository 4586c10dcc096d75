sandbox "box" {
  image = "base"

  limit {
    open_files = 10
  }
}
