package run

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/voidbox-run/voidbox/core/observe"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/skill"
)

// aspects of what a stage is made from, in the order in which a change of them is told. Budgets, limits of time and attempts are not
// among them: who raises one to get a pipeline through does not want to pay for its first stages again.
var aspects = []string{"prompt", "system prompt", "model", "tools", "output", "skills", "agents", "sandbox", "files"}

// madeFrom is a digest of each aspect of a stage, without secrets: a key that was renewed changes nothing.
func (r *Run) madeFrom(ctx context.Context, bound *plan.AgentRun, skills []skill.Skill) (made map[string]string, err error) {
	agents, err := r.agentsBelow(ctx, bound)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, f := range bound.Files {
		if files[f.To], err = observe.Digest(f.From); err != nil {
			return nil, fmt.Errorf("look at the files for %s: %w", f.To, err)
		}
	}
	made = map[string]string{}
	for aspect, of := range map[string]any{
		"prompt":        bound.Prompt,
		"system prompt": bound.System,
		"model":         []any{bound.LLM.Plugin, bound.LLM.Config, modelOf(bound)},
		"tools":         []any{bound.Tools, bound.Mode, bound.Interactive, bound.OutputBytes},
		"output":        []any{bound.OutputFile, bound.Artefacts},
		"skills":        skills,
		"agents":        agents,
		"sandbox":       []any{described(bound.Sandbox), filesOf(bound.Sandbox)},
		"files":         files,
	} {
		clean, err := observe.RedactValue(r.redact, of)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(clean)
		if err != nil {
			return nil, fmt.Errorf("digest of the %s: %w", aspect, err)
		}
		sum := sha256.Sum256(text)
		made[aspect] = hex.EncodeToString(sum[:])
	}
	return made, nil
}

// agentsBelow is what the agents are made from that work for another, by name. What their tasks will be is the model's to say.
func (r *Run) agentsBelow(ctx context.Context, bound *plan.AgentRun) (map[string]map[string]string, error) {
	below := map[string]map[string]string{}
	for _, s := range bound.Skills {
		if s.Agent == nil {
			continue
		}
		sub, err := s.Agent.Delegate("")
		if err != nil { // its file cannot do without a task
			below[s.Agent.Name] = map[string]string{"prompt": err.Error()}
			continue
		}
		skills, err := skill.Load(ctx, sub.Skills, r.sources())
		if err != nil {
			return nil, err
		}
		if below[s.Agent.Name], err = r.madeFrom(ctx, sub, skills); err != nil {
			return nil, err
		}
	}
	return below, nil
}

// described is a sandbox without what says only where it was written, or how long it may take.
func described(s *plan.Sandbox) plan.Sandbox {
	out := *s
	out.ReadyTimeout = 0
	if s.Network == nil || s.Network.Egress == nil {
		return out
	}
	network := *s.Network
	network.Egress = &plan.Egress{Allow: withoutOrigin(s.Network.Egress.Allow), Deny: withoutOrigin(s.Network.Egress.Deny)}
	out.Network = &network
	return out
}

func withoutOrigin(rules []plan.EgressRule) []plan.EgressRule {
	rules = slices.Clone(rules)
	for i := range rules {
		rules[i].Origin = ""
	}
	return rules
}

// filesOf tells the files that a sandbox boots from apart by size and time, as make does.
func filesOf(s *plan.Sandbox) []string {
	var files []string
	_, image, _ := strings.Cut(s.Image, ":")
	for _, path := range []string{s.Kernel, s.Initrd, image, s.Image} {
		if info, err := os.Stat(path); err == nil && filepath.IsAbs(path) {
			files = append(files, fmt.Sprintln(path, info.Size(), info.ModTime().UnixNano()))
		}
	}
	return files
}
