// Package pluginhost finds, approves, starts, watches and ends plugins: programs of their own that serve a contract of package
// sdk over gRPC.
//
// The handshake and its wire format are go-plugin's. What surrounds them is not, because a plugin is a stranger: it gets a
// private socket directory and an environment without secrets; the peer of its socket must be the process that was started;
// what it prints is cut, cleaned and logged; its binary, once pinned, is executed from the very bytes that were hashed; it is
// the leader of a process group that is killed whole; and a lifeline, a pipe whose other end the kernel closes however the
// host ends, keeps it from outliving voidbox.
//
// A Host is for one run:
//
//	host, err := pluginhost.New(pluginhost.Options{Dirs: pluginhost.DefaultDirs()})
//	defer host.Close(ctx)
//	inst, err := host.Start(ctx, pluginhost.Request{Kind: base.KindLLM, Name: "claude", Instance: "main", Config: block})
//	turn, err := inst.LLM().Complete(ctx, req, nil)
//
// A plugin that dies closes Instance.Exited, and every call in flight fails with what the plugin said last.
package pluginhost
