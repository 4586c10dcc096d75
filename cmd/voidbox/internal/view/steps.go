package view

// steps says in words what a sandbox does on its way to being ready. Steps that are not here speak for themselves.
var steps = map[string]string{
	"image":          "preparing kernel and image",
	"create":         "creating the VM",
	"kernel":         "booting the kernel",
	"agent: start":   "starting the guest agent",
	"agent: modules": "loading kernel modules",
	"agent: mounts":  "mounting file systems",
	"agent: network": "setting up the network",
	"agent: main":    "starting the main process",
	"agent: ready":   "", // the next step says it
	"answer":         "waiting for the guest agent's answer",
	"ready":          "", // an event of its own says it
}

// stepWords returns the words for a step, none for one that need not be shown.
func stepWords(step string) string {
	if words, known := steps[step]; known {
		return words
	}
	return step
}
