// Package sdk turns a Go value into a voidbox plugin.
//
// A plugin is a program of its own that implements one contract, such as llm.LLM or vmm.VMM, and whose main function is one
// line:
//
//	func main() {
//		sdk.Serve(sdk.Plugin{Name: "echo", Version: "1.0.0", LLM: echo{}})
//	}
//
// Serve answers "describe", shakes hands with the host, serves the contract over gRPC and ends when the host does: by request,
// by SIGTERM, or because the host died, which the lifeline tells. The author writes no line of that. docs/plugin-protocol
// describes the same for authors in other languages.
//
// The contracts live in packages of their own (sdk/llm, sdk/vmm, ...) which do not import this one: the guest agent serves a
// contract too, and must not carry go-plugin.
package sdk
