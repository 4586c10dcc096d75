sandbox "box" {
  backend = "mock"
  image   = "base"
}

llm "replay" "main" {
  cassette = "c.json"
}

agent "a" {
  sandbox = llm.replay.main
  llm     = llm.replay.main
  prompt  = "Hello."
}
