llm "gpt" "main" {
  model = "x"
}
