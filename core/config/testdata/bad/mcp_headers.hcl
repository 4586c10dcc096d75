skill "mcp" "guest" {
  url     = "http://server/mcp"
  headers = { Authorization = "x" }
}

skill "mcp" "odd" {
  url     = "http://server/mcp"
  on      = "host"
  headers = { "no header" = "x" }
}
