sandbox "box" {
  backend = "mock"
  image   = "base"
}

llm "replay" "main" {
  cassette = "c.json"
}

agent "a" {
  sandbox = sandbox.box
  llm     = llm.replay.main
  prompt  = "Hello."

  budget {
    usd    = 0
    tokens = -1
    time   = "0s"
  }
}
