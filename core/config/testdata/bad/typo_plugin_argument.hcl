sandbox "box" {
  backend = "mock"
  image   = "base"
}

llm "replay" "main" {
  casette = "c.json"
}

