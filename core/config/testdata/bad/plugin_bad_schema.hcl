llm "broken" "main" {
  x = 1
}
