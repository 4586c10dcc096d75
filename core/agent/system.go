package agent

import (
	"fmt"
	"strings"
)

// system is the system prompt of the native loop: where the model is, what it can look up, and what the agent's author says.
func (s *session) system(box *toolbox) string {
	var b strings.Builder
	b.WriteString("You are an agent that works inside a disposable sandbox of its own. Nobody answers questions while you work: " +
		"carry the task out, then finish with the answer and nothing else.\n")
	fmt.Fprintf(&b, "Sandbox: Linux %s on %s, shell %s, user %s, home %s, working directory %s.\n",
		clean(s.info.Kernel), clean(s.info.Architecture), box.shell, clean(s.info.User), clean(s.home()), clean(s.dir))
	var files []string
	for _, sk := range s.Skills {
		if len(sk.Files) > 0 {
			files = append(files, fmt.Sprintf("- %s (%s): %s\n", sk.Name, sk.File(s.home()), sk.Description))
		}
	}
	if len(files) > 0 {
		b.WriteString("\nSkills, each a file to read before a task that it is about:\n" + strings.Join(files, ""))
	}
	for _, src := range box.sources {
		if text := clean(src.instructions()); text != "" {
			b.WriteString("\n" + text + "\n")
		}
	}
	if s.Agent.System != "" {
		b.WriteString("\n" + s.Agent.System)
	}
	return b.String()
}
