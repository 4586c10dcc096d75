// Package observe keeps what a run reported.
//
// A run directory holds events.jsonl (one event a line, in the order in which they happened), result.json and artefacts. It
// belongs to its user alone. Each event is written in one piece when it happens, so that a run that is killed leaves all but
// its last line; result.json is there whole or not at all. Nothing is forced to the disk, which every run would have to wait for:
// a crash of the machine itself may cost what was written last. What is written has been cleaned of secrets by the caller.
package observe
