skill "file" "s" {
  path = null
}
