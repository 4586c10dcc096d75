// Package ollama is the LLM contract over Ollama.
//
// The native loop speaks /api/chat, one JSON document a line, and not the OpenAI-compatible endpoint, since only Ollama's own API
// lets a request set the size of the context. That matters: the default is a few thousand tokens, and what does not fit is cut off
// without a word, so that an agent forgets what it was told. So num_ctx is sent with every request, and truncation refused.
//
// What a model can do is asked before it is used (/api/show): one that cannot call tools is of no use to an agent. A model that is
// not there is fetched if the block says so (/api/pull).
//
// In CLI mode the agent is Claude Code, pointed at /v1/messages of the same server.
package ollama
