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
    for_each = toset(split(",", stage.first.output))
    agent    = agent.a
    input    = { topic = each.key }
  }
}
