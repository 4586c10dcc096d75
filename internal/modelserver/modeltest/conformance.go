package modeltest

import (
	"regexp"

	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/sdk/plugintest"
)

// Conformance are the rules that sdk/plugintest's suite of providers wants of its double. With thinking, the answer to LLMCall is
// reasoned.
func Conformance(thinking string) []modelserver.Rule {
	exactly := func(s string) string { return "^" + regexp.QuoteMeta(s) + "$" }
	return []modelserver.Rule{
		{Match: exactly(plugintest.LLMSay), Say: "The word is " + plugintest.LLMWord + ", with ünïcödé 🚀."},
		{Match: exactly(plugintest.LLMCall), Say: "I call it.", Thinking: thinking, Call: plugintest.LLMTool, Arguments: `{"value": "one"}`},
		{Match: exactly(plugintest.LLMCallTwice), Call: plugintest.LLMTool, Arguments: `{"value": "two"}`, Times: 2},
		{Match: exactly(plugintest.LLMHang), Fault: &modelserver.Fault{Hang: true}},
		{Match: exactly(plugintest.LLMFail), Fault: &modelserver.Fault{Status: 401}},
		{Tool: plugintest.LLMTool, Match: `(?s)^(.*)$`, Say: "It says ${1}."},
	}
}
