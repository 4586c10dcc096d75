# An agent whose model runs on your own machine, by Ollama: no key, and nothing leaves the house.
#
#   ollama pull qwen3:8b
#   voidbox run examples/ollama_local.hcl
#
# Without a model named, the newest that Ollama has and that can call tools is used.

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock"
  default     = "auto"
}

variable "base_url" {
  description = "the Ollama server"
  default     = "http://127.0.0.1:11434"
}

sandbox "box" {
  backend = var.backend
  image   = "base"
}

llm "ollama" "local" {
  base_url = var.base_url
  num_ctx  = 16384 # tokens of context; more takes more memory
}

agent "counter" {
  sandbox   = sandbox.box
  llm       = llm.ollama.local
  max_turns = 10
  prompt    = "Write the numbers from 1 to 5 to /tmp/numbers.txt, one a line, with a shell command. Then count the file's lines with wc and tell how many there are."
}
