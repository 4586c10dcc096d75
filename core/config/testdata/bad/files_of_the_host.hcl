sandbox "box" {
  backend = "mock"
  image   = "base"
}

llm "replay" "main" {
  cassette = "c.json"
}

agent "a" {
  sandbox   = sandbox.box
  llm       = llm.replay.main
  prompt    = "Work."
  artefacts = ["/out"]
}

pipeline "p" {
  stage "first" {
    agent = agent.a
  }

  stage "second" {
    agent = agent.a
    files = { "/in" = "/etc" }
  }
}
