// Package pipeline executes a graph of stages: order, fan-out, retries, time limits, skips and cancellation.
//
// It is pure. What a stage does is a function that the caller gives, time is a clock that the caller gives, and nothing else
// of the world is touched, so that another engine can take its place, and a test can try thousands of graphs in a second.
//
// Rules. A stage runs once all that it needs has succeeded. Among stages that could run, the one declared first goes first, so
// that the same graph and the same outcomes give the same order. A stage is skipped when something that it needs failed, was
// skipped or was cancelled; stages that do not need it go on. A stage that waits for its next attempt holds no place among
// those that may run at once. After the end of the context nothing is started any more, running stages are waited for, and what
// was not started counts as cancelled.
package pipeline
