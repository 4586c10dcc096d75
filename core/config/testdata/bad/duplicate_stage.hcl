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
}

pipeline "p" {
  stage "s" {
    agent = agent.a
  }

  stage "s" {
    agent = agent.a
  }
}
