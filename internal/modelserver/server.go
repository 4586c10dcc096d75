package modelserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// Rule answers a conversation whose last message matches. In Say and Arguments, ${1} or ${name} stands for a captured group.
type Rule struct {
	// Tool limits the rule to the results of a tool; empty means that it is for prompts.
	Tool  string
	Match string // regular expression over the prompt, or over the tool's result
	// Say ends the conversation. Call names the tool to call instead, with the text of Arguments, a JSON object.
	Say       string
	Call      string
	Arguments string
}

type rule struct {
	Rule
	match *regexp.Regexp
}

// Server answers by rules, the first that matches. It is an http.Handler.
type Server struct{ rules []rule }

// New makes a server of rules.
func New(rules ...Rule) (*Server, error) {
	s := &Server{}
	for i, r := range rules {
		match, err := regexp.Compile(r.Match)
		if err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
		s.rules = append(s.rules, rule{r, match})
	}
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != Path {
		refuse(w, http.StatusNotFound, fmt.Errorf("only POST %s is served", Path))
		return
	}
	var req Request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxBytes)).Decode(&req); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("decode the request: %w", err))
		return
	}
	turn, err := s.Turn(req)
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(turn) // an error means that the client has gone
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(Problem{Error: err.Error()})
}

// Turn answers a conversation.
func (s *Server) Turn(req Request) (Turn, error) {
	if len(req.Messages) == 0 {
		return Turn{}, fmt.Errorf("the conversation is empty")
	}
	last := req.Messages[len(req.Messages)-1]
	for _, r := range s.rules {
		subject, ok := r.subject(req, last)
		if !ok {
			continue
		}
		groups := r.match.FindStringSubmatchIndex(subject)
		if groups == nil {
			continue
		}
		fill := func(template string, escape func(string) string) string {
			return expand(r.match, template, subject, groups, escape)
		}
		turn := Turn{Text: fill(r.Say, plain), Usage: Usage{InputTokens: uint64(len(subject)/4 + 1), OutputTokens: 1}}
		if r.Call != "" {
			arguments := fill(r.Arguments, jsonEscape)
			if !json.Valid([]byte(arguments)) {
				return Turn{}, fmt.Errorf("the rule for %q makes arguments that are no JSON: %s", r.Match, arguments)
			}
			id := fmt.Sprintf("call_%d", len(req.Messages))
			turn.Calls = []ToolCall{{ID: id, Name: r.Call, Arguments: json.RawMessage(arguments)}}
		}
		return turn, nil
	}
	return Turn{}, fmt.Errorf("no rule matches %.500q %.500v", last.Text, last.Results)
}

// subject is what a rule looks at: the prompt, or the result of its tool.
func (r rule) subject(req Request, last Message) (string, bool) {
	if r.Tool == "" {
		return last.Text, len(last.Results) == 0
	}
	for _, result := range last.Results {
		for _, m := range req.Messages {
			for _, call := range m.Calls {
				if call.ID == result.CallID && call.Name == r.Tool {
					return result.Content, true
				}
			}
		}
	}
	return "", false
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
