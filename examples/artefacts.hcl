# Files go from stage to stage: each writer leaves a directory, and the editor finds all of them in its own sandbox. What each left stays
# in the run directory.

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock"
  default     = "auto"
}

variable "chapters" {
  type    = set(string)
  default = ["boot", "network"]
}

sandbox "desk" {
  backend = var.backend
  image   = "base"
}

llm "replay" "main" {
  cassette = "cassettes/artefacts.json"
}

agent "writer" {
  sandbox   = sandbox.desk
  llm       = llm.replay.main
  max_turns = 5
  prompt    = "Write the chapter \"${input.chapter}\" of a small book into /tmp/chapter: text.md, and a title of one line in title.txt."
  artefacts = ["/tmp/chapter"]
}

agent "editor" {
  sandbox     = sandbox.desk
  llm         = llm.replay.main
  max_turns   = 5
  prompt      = "The chapters are in /tmp/book, a directory each. Bind them into /tmp/book.md, the titles first."
  output_file = "/tmp/book.md"
  artefacts   = ["/tmp/book.md"]
}

pipeline "book" {
  stage "chapters" {
    for_each = var.chapters
    agent    = agent.writer
    input    = { chapter = each.key }
  }

  stage "book" {
    agent = agent.editor
    files = { for name, s in stage.chapters : "/tmp/book/${name}" => s.artefacts }
  }

  output "book" {
    value = stage.book.output
  }
}
