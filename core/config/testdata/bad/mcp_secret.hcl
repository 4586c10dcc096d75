secret "token" {
  env = "TOKEN"
}

skill "mcp" "s" {
  command = ["server"]
  env     = { TOKEN = secret.token }
}
