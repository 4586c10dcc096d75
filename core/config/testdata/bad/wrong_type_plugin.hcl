llm "claude" "main" {
  retries = "often"
}
