# Codex, the real one, at work inside a sandbox: with a skill, a tool of an MCP server, and a key that never gets in.
#
#   voidbox agent-image codex
#   export OPENAI_API_KEY=sk-...
#   voidbox run examples/codex.hcl
#
# What the sandbox holds in the key's place is good at the broker on the host only, and nothing else can be reached from it.

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm or qemu"
  default     = "auto"
}

variable "base_url" {
  description = "a server that speaks the Responses API"
  default     = "https://api.openai.com/v1"
}

variable "model" {
  default = "gpt-5.6-terra"
}

variable "input_price" {
  description = "US dollars for a million tokens, where voidbox does not know them: of a server that is not OpenAI's"
  type        = number
  default     = null
}

variable "output_price" {
  type    = number
  default = null
}

variable "image" {
  default = "localhost/voidbox/codex"
}

variable "task" {
  default = "Which system is this? Write what uname says to /workspace/report.txt, with the word of the day."
}

secret "openai" {
  env = "OPENAI_API_KEY"
}

sandbox "box" {
  backend       = var.backend
  image         = var.image
  cpus          = 2
  memory        = "2GiB"
  ready_timeout = "5m"
}

llm "openai" "main" {
  base_url = var.base_url
  api      = "responses"
  api_key  = secret.openai
  model    = var.model

  input_price  = var.input_price
  output_price = var.output_price
}

skill "inline" "house-style" {
  description = "How reports are written in this house."
  content     = "A report has one line for each fact, and no adjectives."
}

# Any program that speaks the Model Context Protocol on its standard streams. This one is a few lines of jq, which is in the image.
skill "mcp" "almanac" {
  command = ["jq", "--unbuffered", "-c", <<-EOT
    select(.id != null) | {jsonrpc: "2.0", id: .id} + (
      if .method == "initialize" then
        {result: {protocolVersion: .params.protocolVersion, capabilities: {tools: {}}, serverInfo: {name: "almanac", version: "1"}}}
      elif .method == "tools/list" then
        {result: {tools: [{name: "word_of_the_day", description: "Tells the word of the day.", inputSchema: {type: "object", properties: {}}}]}}
      elif .method == "tools/call" then
        {result: {content: [{type: "text", text: "the word is petrichor"}]}}
      else
        {error: {code: -32601, message: "unknown method"}}
      end)
  EOT
  ]
}

agent "reporter" {
  sandbox     = sandbox.box
  llm         = llm.openai.main
  mode        = "cli"
  skills      = [skill.inline.house-style, skill.mcp.almanac]
  prompt      = var.task
  output_file = "/workspace/report.txt"

  budget {
    tokens = 500000
    time   = "30m"
  }
}
