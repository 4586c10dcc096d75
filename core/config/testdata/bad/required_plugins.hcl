voidbox {
  required_plugins {
    llm "echo" {
      version = "soon"
      sha256  = "abc"
    }
  }

  dev_overrides = { "echo" = "x" }
}
