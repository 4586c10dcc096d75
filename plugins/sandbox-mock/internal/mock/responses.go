package mock

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/programs"
	"github.com/voidbox-run/voidbox/sdk/base"
)

// Schema is the shape of the plugin's block.
var Schema = base.Schema{Blocks: []base.NestedBlock{{
	Type:        "response",
	Description: "Answers for a command instead of running it. The first block that matches and is not used up is taken.",
	Schema: base.Schema{Attributes: []base.Attribute{
		{Name: "command", Type: "string", Required: true, Description: "Regular expression over the command line, its words joined by spaces."},
		{Name: "stdout", Type: "string", Description: "What the command writes."},
		{Name: "stderr", Type: "string", Description: "What it writes to standard error."},
		{Name: "exit", Type: "number", Default: json.RawMessage("0"), Description: "Its exit status, 0 to 255."},
		{Name: "delay", Type: "string", Description: "How long it takes, such as 200ms."},
		{Name: "times", Type: "number", Default: json.RawMessage("0"), Description: "How often it answers; 0 means always, 1 makes a queue of blocks."},
	}},
}}}

// response is one block, as configured.
type response struct {
	command        *regexp.Regexp
	stdout, stderr string
	exit           int
	delay          time.Duration
	times          int
}

// readResponses checks the configuration.
func readResponses(c base.Config) ([]response, error) {
	var block struct {
		Response []struct {
			Command, Stdout, Stderr, Delay string
			Exit, Times                    int
		}
	}
	if err := c.Decode(&block); err != nil {
		return nil, err
	}
	var list []response
	var diags base.Diagnostics
	wrong := func(i int, argument, format string, args ...any) {
		diags = append(diags, base.Diagnostic{
			Summary: "Invalid " + argument + " of a response",
			Detail:  fmt.Sprintf(format, args...),
			Path:    []string{"response", fmt.Sprint(i), argument},
		})
	}
	for i, b := range block.Response {
		r := response{stdout: b.Stdout, stderr: b.Stderr, exit: b.Exit, times: b.Times}
		var err error
		if r.command, err = regexp.Compile(b.Command); err != nil {
			wrong(i, "command", "%v.", err)
		}
		if b.Delay != "" {
			if r.delay, err = time.ParseDuration(b.Delay); err != nil || r.delay < 0 {
				wrong(i, "delay", "%q is no duration; write 200ms or 2s.", b.Delay)
			}
		}
		if b.Exit < 0 || b.Exit > 255 {
			wrong(i, "exit", "%d is no exit status; they go from 0 to 255.", b.Exit)
		}
		if b.Times < 0 {
			wrong(i, "times", "%d is negative; 0 means always.", b.Times)
		}
		list = append(list, r)
	}
	if len(diags) > 0 {
		return nil, diags
	}
	return list, nil
}

// responder answers for the commands of one sandbox.
type responder struct {
	mu   sync.Mutex
	list []response
	used []int
}

func newResponder(list []response) *responder {
	return &responder{list: list, used: make([]int, len(list))}
}

// take returns the first response that matches, and counts it.
func (r *responder) take(args []string) *response {
	line := strings.Join(args, " ")
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.list {
		one := &r.list[i]
		if (one.times == 0 || r.used[i] < one.times) && one.command.MatchString(line) {
			r.used[i]++
			return one
		}
	}
	return nil
}

// intercept implements shell.Intercept.
func (r *responder) intercept(p *programs.Proc, args []string) (int, bool) {
	one := r.take(args)
	if one == nil {
		return 0, false
	}
	timer := time.NewTimer(one.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.Ctx.Done():
		return 143, true
	}
	if _, err := io.WriteString(p.Stdout, one.stdout); err != nil {
		return 141, true
	}
	_, _ = io.WriteString(p.Stderr, one.stderr) // a program does not notice either
	return one.exit, true
}
