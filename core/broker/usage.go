package broker

import (
	"bytes"
	"encoding/json"

	"github.com/voidbox-run/voidbox/sdk/llm"
)

// maxCounted is how much of one answer, or of one event of a stream, is looked at for what it says of tokens. Longer events, which
// hold text, are passed on without a look.
const maxCounted = 4 << 20

// reported is what the APIs say about tokens, wherever they put it.
type reported struct {
	Usage    *counts `json:"usage"`
	Message  *nested `json:"message"`  // Messages API, message_start
	Response *nested `json:"response"` // Responses API, response.completed
	Model    string  `json:"model"`
	// Ollama's chat API, in its last line.
	PromptEval *uint64 `json:"prompt_eval_count"`
	Eval       *uint64 `json:"eval_count"`
}

type nested struct {
	Usage *counts `json:"usage"`
	Model string  `json:"model"`
}

type counts struct {
	Input      uint64   `json:"input_tokens"`
	Output     uint64   `json:"output_tokens"`
	CacheRead  uint64   `json:"cache_read_input_tokens"`
	CacheWrite uint64   `json:"cache_creation_input_tokens"`
	Prompt     uint64   `json:"prompt_tokens"`
	Completion uint64   `json:"completion_tokens"`
	InDetails  *details `json:"input_tokens_details"`
	Details    *details `json:"prompt_tokens_details"`
}

type details struct {
	Cached uint64 `json:"cached_tokens"`
}

// usage brings the dialects together: OpenAI counts cached tokens among the input, Anthropic beside it.
func (c counts) usage() llm.Usage {
	u := llm.Usage{InputTokens: c.Input + c.Prompt, OutputTokens: c.Output + c.Completion, CacheReadTokens: c.CacheRead, CacheWriteTokens: c.CacheWrite}
	for _, d := range []*details{c.InDetails, c.Details} {
		if d != nil {
			cached := min(d.Cached, u.InputTokens)
			u.InputTokens -= cached
			u.CacheReadTokens += cached
		}
	}
	return u
}

// counter reads along in an answer and finds what it says of tokens. Counts in a stream are sums so far, so the largest are right.
type counter struct {
	stream bool // lines, each an event; else one document
	buf    []byte
	skip   bool // the present line is too long

	bytes uint64
	model string
	usage llm.Usage
	told  bool // the answer said what it took, to its end
}

func (c *counter) Write(p []byte) (int, error) {
	c.bytes += uint64(len(p))
	if !c.stream {
		c.keep(p)
		return len(p), nil
	}
	rest := p
	for {
		line, after, ended := bytes.Cut(rest, []byte{'\n'})
		c.keep(line)
		if !ended {
			return len(p), nil
		}
		c.event()
		rest = after
	}
}

func (c *counter) keep(p []byte) {
	if c.skip || len(c.buf)+len(p) > maxCounted {
		c.skip, c.buf = true, c.buf[:0]
		return
	}
	c.buf = append(c.buf, p...)
}

// event looks at a line: data of a server-sent event, or a line of JSON.
func (c *counter) event() {
	line := bytes.TrimSpace(bytes.TrimPrefix(c.buf, []byte("data:")))
	if !c.skip && len(line) > 0 && line[0] == '{' && (bytes.Contains(line, []byte("usage")) || bytes.Contains(line, []byte("eval_count"))) {
		c.document(line, bytes.Contains(line, []byte(`"message_start"`)))
	}
	c.buf, c.skip = c.buf[:0], false
}

// document takes the counts out of one. Those at the start of a stream are not the last word.
func (c *counter) document(text []byte, start bool) {
	var r reported
	if json.Unmarshal(text, &r) != nil {
		return
	}
	found := []*counts{r.Usage}
	if r.Model != "" {
		c.model = r.Model
	}
	for _, n := range []*nested{r.Message, r.Response} {
		if n != nil {
			found = append(found, n.Usage)
			if n.Model != "" {
				c.model = n.Model
			}
		}
	}
	if r.PromptEval != nil || r.Eval != nil {
		own := counts{}
		if r.PromptEval != nil {
			own.Input = *r.PromptEval
		}
		if r.Eval != nil {
			own.Output = *r.Eval
		}
		found = append(found, &own)
	}
	for _, n := range found {
		if n == nil {
			continue
		}
		u := n.usage()
		c.usage.InputTokens = max(c.usage.InputTokens, u.InputTokens)
		c.usage.OutputTokens = max(c.usage.OutputTokens, u.OutputTokens)
		c.usage.CacheReadTokens = max(c.usage.CacheReadTokens, u.CacheReadTokens)
		c.usage.CacheWriteTokens = max(c.usage.CacheWriteTokens, u.CacheWriteTokens)
		c.told = c.told || !start
	}
}

// bytesPerToken is fewer than any text has, so that what is estimated is not estimated too low.
const bytesPerToken = 3

// finish returns what the answer took, and whether it said so. Who hangs up in the middle of a stream does not get the rest for
// nothing: what came until then is counted by its length.
func (c *counter) finish(whole bool) (llm.Usage, bool) {
	if !c.stream && !c.skip {
		c.document(c.buf, false)
	}
	if !c.told && !whole {
		c.usage.OutputTokens = max(c.usage.OutputTokens, c.bytes/bytesPerToken)
		return c.usage, true
	}
	return c.usage, c.told
}
