skill "mcp" "s" {
  command = ["x"]
}
