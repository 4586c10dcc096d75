skill "file" "s" {
  path = "skills/none.md"
}
