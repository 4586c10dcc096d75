agent "a" {
  prompt = "Hello."
}
