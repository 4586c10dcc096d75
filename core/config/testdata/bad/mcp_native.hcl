sandbox "box" {
  image = "base"
}

llm "replay" "main" {
  cassette = "cassette.json"
}

skill "mcp" "s" {
  command = ["server"]
}

agent "a" {
  sandbox = sandbox.box
  llm     = llm.replay.main
  skills  = [skill.mcp.s]
  mode    = "native"
  prompt  = "Go."
}
