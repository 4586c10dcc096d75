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
  stage "one" {
    agent = agent.a
    input = { topic = stage.three.output }
  }

  stage "two" {
    agent = agent.a
    input = { topic = stage.one.output }
  }

  stage "three" {
    agent      = agent.a
    input      = { topic = "x" }
    depends_on = [stage.two]
  }
}
