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
  prompt  = "Log in with ${upper(secret.s)}."
}
