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
  prompt  = "About ${input.topic}."
}

pipeline "p" {
  stage "first" {
    agent = agent.a
    input = { topic = "x" }
  }

  stage "second" {
    agent = agent.a
    input = { topic = stage.first.outptu }
  }
}
