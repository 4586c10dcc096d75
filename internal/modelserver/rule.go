package modelserver

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Rule answers a conversation whose last message matches. In Say and Arguments, ${1} or ${name} stands for a captured group.
type Rule struct {
	// Tool limits the rule to the results of a tool; empty means that it is for prompts.
	Tool  string `json:"tool,omitempty"`
	Match string `json:"match"` // regular expression over the prompt, or over the tool's results, one a line
	// Say ends the conversation. Call names the tool to call instead, with the text of Arguments, a JSON object, Times times.
	Say       string `json:"say,omitempty"`
	Call      string `json:"call,omitempty"`
	Arguments string `json:"arguments,omitempty"`
	Times     int    `json:"times,omitempty"`
	// Raw lets Arguments be no JSON.
	Raw bool `json:"raw,omitempty"`
	// Custom calls a tool that takes text, which the Responses API knows: Codex has its models write programs for one.
	Custom bool `json:"custom,omitempty"`
	// Thinking is reasoned before. A turn that thought and called a tool is signed, where the protocol knows of that, and the
	// conversation is refused when the reasoning does not come back.
	Thinking string `json:"thinking,omitempty"`
	Usage    Usage  `json:"usage,omitzero"` // zero makes one up from the length of the subject
	Fault    *Fault `json:"fault,omitempty"`
}

type rule struct {
	Rule
	match *regexp.Regexp
}

func (r Rule) compile() (rule, error) {
	match, err := regexp.Compile(r.Match)
	return rule{r, match}, err
}

// apply answers if the rule matches.
func (r rule) apply(req Request, last Message) (Turn, bool, error) {
	subject, ok := r.subject(req, last)
	if !ok {
		return Turn{}, false, nil
	}
	groups := r.match.FindStringSubmatchIndex(subject)
	if groups == nil {
		return Turn{}, false, nil
	}
	fill := func(template string, escape func(string) string) string {
		return expand(r.match, template, subject, groups, escape)
	}
	turn := Turn{
		Text: fill(r.Say, plain), Thinking: r.Thinking, fault: r.Fault,
		Usage: cmp.Or(r.Usage, Usage{InputTokens: uint64(len(subject)/4 + 1), OutputTokens: 1}),
	}
	if r.Call == "" {
		return turn, true, nil
	}
	arguments := fill(r.Arguments, jsonEscape)
	if !r.Raw && !r.Custom && !json.Valid([]byte(arguments)) {
		return Turn{}, false, fmt.Errorf("the rule for %q makes arguments that are no JSON: %s", r.Match, arguments)
	}
	for i := range max(r.Times, 1) {
		id := fmt.Sprintf("call_%d", len(req.Messages))
		if i > 0 {
			id += fmt.Sprintf("_%d", i)
		}
		turn.Calls = append(turn.Calls, ToolCall{ID: id, Name: r.Call, Arguments: json.RawMessage(arguments), custom: r.Custom})
	}
	return turn, true, nil
}

// subject is what a rule looks at: the prompt, or the results of its tool.
func (r rule) subject(req Request, last Message) (string, bool) {
	if r.Tool == "" {
		return last.Text, len(last.Results) == 0
	}
	names := map[string]string{}
	for _, m := range req.Messages {
		for _, call := range m.Calls {
			names[call.ID] = call.Name
		}
	}
	var found []string
	for _, result := range last.Results {
		if names[result.CallID] == r.Tool {
			found = append(found, result.Content)
		}
	}
	return strings.Join(found, "\n"), len(found) > 0
}

// expand is regexp.Expand with every captured group escaped.
func expand(re *regexp.Regexp, template, subject string, groups []int, escape func(string) string) string {
	// The groups are expanded over a text that holds them escaped, one after the other.
	var escaped strings.Builder
	moved := make([]int, len(groups))
	for i := 0; i < len(groups); i += 2 {
		if groups[i] < 0 {
			moved[i], moved[i+1] = -1, -1
			continue
		}
		moved[i] = escaped.Len()
		escaped.WriteString(escape(subject[groups[i]:groups[i+1]]))
		moved[i+1] = escaped.Len()
	}
	return string(re.ExpandString(nil, template, escaped.String(), moved))
}

func plain(s string) string { return s }

func jsonEscape(s string) string {
	quoted, _ := json.Marshal(s)
	return string(quoted[1 : len(quoted)-1])
}
