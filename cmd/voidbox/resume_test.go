package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/run"
	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

// diamondFile is the diamond, with a model that says for which stage it was asked.
const diamondFile = `
variable "backend" {}
variable "url" {}
sandbox "box" {
  backend = var.backend
  image   = "base"
}
llm "claude" "main" {
  base_url     = var.url
  api_key      = "none"
  input_price  = 1
  output_price = 1
}
agent "worker" {
  sandbox = sandbox.box
  llm     = llm.claude.main
  mode    = "native"
  model   = "scripted"
  prompt  = "stage ${input.name} after (${input.before})"
}
pipeline "diamond" {
  stage "a" {
    agent = agent.worker
    input = { name = "a", before = "" }
  }
  stage "b" {
    agent = agent.worker
    input = { name = "b", before = stage.a.output }
  }
  stage "c" {
    agent = agent.worker
    input = { name = "c", before = stage.a.output }
  }
  stage "d" {
    agent = agent.worker
    input = { name = "d", before = "${stage.b.output}, ${stage.c.output}" }
  }
  output "result" {
    value = stage.d.output
  }
}
`

// gatedModel is a model server that lets requests of one stage wait for ever, as long as it is armed.
type gatedModel struct {
	handler http.Handler
	mu      sync.Mutex
	gate    string        // stage
	reached chan struct{} // closed when its request is there
	asked   []string
}

var stageOfPrompt = regexp.MustCompile(`stage ([a-d]) after`)

func (g *gatedModel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	stage := stageOfPrompt.FindSubmatch(body)
	g.mu.Lock()
	wait := false
	if stage != nil {
		g.asked = append(g.asked, string(stage[1]))
		if wait = string(stage[1]) == g.gate; wait {
			close(g.reached)
		}
	}
	g.mu.Unlock()
	if wait {
		<-r.Context().Done()
		return
	}
	g.handler.ServeHTTP(w, r)
}

func (g *gatedModel) arm(stage string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gate, g.reached, g.asked = stage, make(chan struct{}), nil
}

// TestKilledRunIsResumed kills voidbox with SIGKILL while a stage is at work. Nothing of the run is left but its directory, which is
// enough to go on with.
func TestKilledRunIsResumed(t *testing.T) {
	server, err := modelserver.New(modelserver.Rule{
		Match: `stage ([a-d]) after \((.*)\)`, Say: "${1}(${2})", Usage: modelserver.Usage{InputTokens: 10, OutputTokens: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	model := &gatedModel{handler: server}
	web := httptest.NewServer(model)
	defer web.Close()
	cases := []struct{ backend, at string }{{"mock", "a"}, {"mock", "b"}, {"mock", "c"}, {"mock", "d"}}
	if !testing.Short() {
		testvm.Require(t)
		cases = append(cases, struct{ backend, at string }{"qemu", "b"})
	}
	bin := testbin.Dir(t)
	tmp, err := os.MkdirTemp("", "kill") // short: sockets live below it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	guest := fmt.Sprintf("killed%d", os.Getpid())
	file := filepath.Join(t.TempDir(), "diamond.hcl")
	text := strings.NewReplacer(`"box"`, `"`+guest+`"`, "sandbox.box", "sandbox."+guest).Replace(diamondFile)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.at+" on "+c.backend, func(t *testing.T) {
			state := t.TempDir()
			voidbox := func(args ...string) *exec.Cmd {
				cmd := exec.Command(filepath.Join(bin, "voidbox"), args...)
				cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "XDG_RUNTIME_DIR="+tmp, "XDG_STATE_HOME="+state)
				return cmd
			}
			model.arm(c.at)
			first := voidbox("run", "--var", "backend="+c.backend, "--var", "url="+web.URL, file)
			if err := first.Start(); err != nil {
				t.Fatal(err)
			}
			<-model.reached
			if err := first.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			first.Wait()
			waitForProcesses(t, "the killed run", bin, tmp, guest)

			var list []pastRun
			out, err := voidbox("ps", "--all", "--json").Output()
			if err == nil {
				err = json.Unmarshal(out, &list)
			}
			if err != nil || len(list) != 1 || list[0].State != "killed" || !list[0].Resumable || list[0].Stages != 4 {
				t.Fatalf("%v: %+v", err, list)
			}
			finished := list[0].Done

			model.arm("")
			resume := voidbox("resume", list[0].Run)
			var stderr bytes.Buffer
			resume.Stderr = &stderr
			out, err = resume.Output()
			if err != nil || string(out) != "result = d(b(a()), c(a()))\n" {
				t.Fatalf("%v: %q\n%s", err, out, stderr.String())
			}
			if out, err = voidbox("ps", "--all", "--json").Output(); err == nil {
				list = nil
				err = json.Unmarshal(out, &list)
			}
			if err != nil || len(list) != 2 || list[1].State != "succeeded" || list[1].Resumes != list[0].Run {
				t.Fatalf("%v: %+v", err, list)
			}
			checkResumed(t, list[1].Dir, list[0].Run, finished, len(model.asked))
			waitForProcesses(t, "the resumed run", bin, tmp, guest)
		})
	}
	if left := grep(read(t, "/proc/net/unix"), tmp); left != "" {
		t.Errorf("sockets are left:\n%s", left)
	}
}

// checkResumed holds the result of a resumed run against what was finished before, and what the model was asked for.
func checkResumed(t *testing.T, dir, former string, finished, asked int) {
	t.Helper()
	var result run.Result
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "result.json"))), &result); err != nil {
		t.Fatal(err)
	}
	var spent, saved event.Totals
	reused := 0
	for _, s := range result.Stages {
		spent = spent.Add(s.Totals)
		if s.ReusedFrom == former {
			reused++
			saved = saved.Add(s.Reused)
		}
	}
	if reused != finished || asked != 4-finished {
		t.Errorf("%d stages were finished, %d are reused, the model was asked for %d", finished, reused, asked)
	}
	if result.Totals != spent || result.Reused != saved || spent.InputTokens != uint64(10*asked) || saved.InputTokens != uint64(10*finished) {
		t.Errorf("totals %+v and %+v, the sums are %+v and %+v", result.Totals, result.Reused, spent, saved)
	}
}
