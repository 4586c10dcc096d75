package modelserver_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	. "github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/internal/modelserver/modeltest"
)

func ask(t *testing.T, url string, req Request) (Turn, string) {
	t.Helper()
	body, _ := json.Marshal(req)
	resp, err := http.Post(url+Path, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Turn
		Problem
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Turn, answer.Error
}

func TestAnswersComeFromWhatTheToolsReturned(t *testing.T) {
	url := modeltest.Start(t, "tcp",
		Rule{Match: `file (\S+)`, Call: "bash", Arguments: `{"command": "cat ${1}"}`},
		Rule{Tool: "bash", Match: `nonce=(?P<nonce>\w+)`, Say: "it is ${nonce}"},
	)
	prompt := Message{Role: "user", Text: `look into file /tmp/"a"`}
	turn, problem := ask(t, url, Request{Messages: []Message{prompt}})
	if problem != "" || len(turn.Calls) != 1 || string(turn.Calls[0].Arguments) != `{"command":"cat /tmp/\"a\""}` {
		t.Fatalf("%s %+v", problem, turn)
	}
	history := []Message{prompt, {Role: "assistant", Calls: turn.Calls}, {Role: "user", Results: []ToolResult{{CallID: turn.Calls[0].ID, Content: "nonce=abc"}}}}
	if turn, problem = ask(t, url, Request{Messages: history}); turn.Text != "it is abc" {
		t.Errorf("%s %+v", problem, turn)
	}
	history[2].Results[0].Content = "nothing"
	if _, problem = ask(t, url, Request{Messages: history}); !strings.Contains(problem, "no rule matches") {
		t.Errorf("problem %q", problem)
	}
	if _, problem = ask(t, url, Request{}); problem == "" {
		t.Error("an empty conversation got an answer")
	}
}
