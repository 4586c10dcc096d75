skill "mcp" "s" {
  description = "x"
}
