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
  stage "write" {
    agent = agent.a
  }

  output "o" {
    value = stage.wrte.output
  }
}
