skill "mcp" "s" {
  command = [""]
}
