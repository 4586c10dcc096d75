# Claude Code with a skill and an MCP server, as examples/codex.hcl has them for Codex.

variable "image" {}

variable "base_url" {}

variable "ollama" {
  description = "ask base_url as an Ollama, without a key"
  type        = bool
  default     = false
}

variable "model" {
  default = "claude-sonnet-5-5"
}

secret "anthropic" {
  env = "ANTHROPIC_API_KEY"
}

sandbox "box" {
  backend       = "qemu"
  image         = var.image
  cpus          = 2
  memory        = "2GiB"
  ready_timeout = "5m"
}

llm "claude" "anthropic" {
  base_url = var.base_url
  api_key  = secret.anthropic
  model    = var.model
}

llm "ollama" "local" {
  base_url = var.base_url
  model    = var.model
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
  llm         = var.ollama ? llm.ollama.local : llm.claude.anthropic
  mode        = "cli"
  skills      = [skill.inline.house-style, skill.mcp.almanac]
  prompt      = "Which system is this? Write what uname says to /workspace/report.txt, with the word of the day."
  output_file = "/workspace/report.txt"
  max_turns   = 10
}
