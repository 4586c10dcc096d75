// Package agent runs one agent in one sandbox: it provisions skills, drives the model and collects what comes out.
//
// There are two ways to drive. In the native loop the provider is asked for one turn after the other, and the tools that the
// model calls (bash, read, write, edit) run inside the sandbox. In CLI mode the agent is somebody's command-line program that
// runs inside the sandbox itself, and the provider translates what it prints. Both end in one recorder, so that nobody above
// can tell them apart but by the mode in event.AgentStarted.
//
// The sandbox, the provider and the model are all strangers here: whatever they say is bounded and cleaned of control
// characters before it becomes an event or goes back to the model.
package agent
