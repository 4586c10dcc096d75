sandbox "box" {
  image = "base"
}

llm "replay" "main" {
  cassette = "cassette.json"
}

skill "mcp" "s" {
  command = ["server"]
  on      = "host"
}

agent "a" {
  sandbox = sandbox.box
  llm     = llm.replay.main
  skills  = [skill.mcp.s]
  mode    = "cli"
  prompt  = "Go."
}
