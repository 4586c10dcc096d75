sandbox "box" {
  backend = "mock"
  image   = "base"
}

llm "replay" "main" {
  cassette = "c.json"
}

pipeline "p" {
  stage "s" {
    agent = sandbox.box
  }
}
