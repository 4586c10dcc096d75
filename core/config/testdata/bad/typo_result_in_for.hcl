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
    for_each = toset(["x", "y"])
    agent    = agent.a
    input    = { topic = each.key }
  }

  output "all" {
    value = { for k, s in stage.first : k => s.ouput }
  }
}
