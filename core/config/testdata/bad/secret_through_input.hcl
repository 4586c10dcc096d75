secret "s" {
  env = "TOKEN"
}

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
  stage "s" {
    agent = agent.a
    input = { topic = secret.s }
  }
}
