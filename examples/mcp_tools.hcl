# An agent with the tools of an MCP server, which runs in the sandbox and ends with it.
#
#   voidbox run examples/mcp_tools.hcl
#
# In the native loop, which this is, voidbox itself speaks to the server; a command-line agent would be told of it in its own
# configuration. Either way the model knows the tool as mcp__inventory__stock.

variable "backend" {
  description = "auto (kvm where it is usable, else qemu), kvm, qemu or mock"
  default     = "auto"
}

sandbox "box" {
  backend = var.backend
  image   = "base"
}

# A recorded model: the demo needs no key.
llm "replay" "main" {
  cassette = "cassettes/mcp_tools.json"
}

# A real server is a program of the image: command = ["/usr/local/bin/inventory"].
skill "mcp" "inventory" {
  command = ["/bin/sh", "-c", file("mcp/inventory.sh")]
  timeout = "30s"
}

agent "clerk" {
  sandbox   = sandbox.box
  llm       = llm.replay.main
  skills    = [skill.mcp.inventory]
  max_turns = 5
  prompt    = "How many crates of apples and pears are there together? Write the sum to /tmp/crates.txt."
}
