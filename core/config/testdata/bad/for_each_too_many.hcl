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
    agent    = agent.a
  }

  stage "t" {
    for_each = toset(flatten([for n in range(1000) : [for m in range(11) : "${n}-${m}"]]))
    agent    = agent.a
  }
}
