// Package observe keeps what a run reported.
//
// A run directory holds events.jsonl (one event a line, in the order in which they happened), result.json and artefacts. It
// belongs to its user alone. For a later run that goes on with this one it holds run.json, which says what was started, and a record
// of each stage that succeeded; package run decides what can be used again. Who lives holds a lock on events.jsonl, which the kernel
// takes from who is killed, so that nobody needs to poll a process.
// Each event is written in one piece when it happens, so that a run that is killed leaves all but
// its last line; result.json is there whole or not at all. Nothing is forced to the disk, which every run would have to wait for:
// a crash of the machine itself may cost what was written last. What is written has been cleaned of secrets by the caller.
package observe
