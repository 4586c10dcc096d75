package agent

import (
	"context"
	"strings"

	"github.com/voidbox-run/voidbox/core/skill"
)

// skillTool hands out the body of a skill. The system prompt has the descriptions only; a model that may not read files, or does not
// think of it, gets the rest here.
func skillTool(skills []skill.Skill) (tool, bool) {
	bodies := map[string]string{}
	var known []string
	for _, s := range skills {
		for _, f := range s.Files {
			if f.Path == "SKILL.md" {
				bodies[s.Name] = string(f.Content)
				known = append(known, s.Name)
			}
		}
	}
	return tool{
		name:        "skill",
		description: "Returns the instructions of one of the skills: " + strings.Join(known, ", ") + ".",
		params:      []param{{name: "name", kind: "string", description: "Name of the skill.", required: true}},
		run: func(_ context.Context, t *toolbox, args arguments) (string, error) {
			body, ok := bodies[args.text("name")]
			if !ok {
				return "", failure("there is no skill %s; the skills are %s", quote(args.text("name")), strings.Join(known, ", "))
			}
			return t.bounded(body), nil
		},
	}, len(known) > 0
}
