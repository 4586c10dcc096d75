# An agent whose model is served by LM Studio, or by any other server that speaks OpenAI's API: vLLM, llama.cpp, OpenRouter.
#
#   lms server start                                       in LM Studio, with a model that can call tools
#   voidbox run --var model=qwen/qwen3-8b examples/lm_studio.hcl

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock"
  default     = "auto"
}

variable "base_url" {
  description = "the server"
  default     = "http://127.0.0.1:1234/v1"
}

variable "model" {
  description = "as the server calls it"
  default     = "qwen/qwen3-8b"
}

sandbox "box" {
  backend = var.backend
  image   = "base"
}

llm "openai" "local" {
  base_url = var.base_url
  model    = var.model

  # It runs here and costs nothing. Without this its cost would be unknown.
  input_price  = 0
  output_price = 0
}

agent "sorter" {
  sandbox   = sandbox.box
  llm       = llm.openai.local
  max_turns = 10
  prompt    = "Sort these words with a shell command and tell the first: pear, apple, fig."

  budget {
    usd = 0.01
  }
}
