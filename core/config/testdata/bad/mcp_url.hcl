skill "mcp" "s" {
  url = "stdio://x"
}
