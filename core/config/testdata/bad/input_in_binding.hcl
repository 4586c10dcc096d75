sandbox "box" {
  backend = "mock"
  image   = "base"
}

llm "replay" "main" {
  cassette = "c.json"
}

agent "a" {
  sandbox = input.sandbox
  llm     = llm.replay.main
  prompt  = "Hello."
}
