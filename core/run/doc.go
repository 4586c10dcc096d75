// Package run executes a plan: it picks what to run, starts the plugins, builds a sandbox for each stage, lets agents work in
// them, and reports everything as one stream of events.
//
//	r, err := run.New(run.Config{Plan: p, Host: run.Plugins(host), Images: images, Sinks: sinks})
//	result, err := r.Run(ctx)
//
// Each stage gets a clean sandbox of its own, which is gone when the stage is over. LLM plugins are shared by their block, VMM
// plugins by nobody. A plugin that dies ends the run. The end of ctx cancels: agents stop, sandboxes shut down in order, and
// what happened is written down. The end of Config.Hard cuts the clean-up short. Whatever fails, everything that was opened is
// closed: the sandboxes with their stages, the plugins with the run.
//
// Nothing that leaves this package, be it an event, a file of the run directory or a Result, holds a secret of the plan.
package run
