package vcpu

// End is how the life of a set ended.
type End int

// Ends.
const (
	Stopped     End = iota // Stop was called
	Shutdown               // the guest asked for it, by a system event of KVM's
	ResetWanted            // so it did for a reset
	Crashed                // the guest told of a crash, by a system event of KVM's
	Halted                 // a vCPU halted where no interrupt can wake it
	Failed                 // see Failure
)

// Reasons of failures, for programs.
const (
	ReasonShutdown      = "shutdown"       // triple fault
	ReasonInternalError = "internal_error" // KVM gave up
	ReasonFailEntry     = "fail_entry"     // the CPU refused the guest's state
	ReasonUnknown       = "unknown"        // an exit that nobody expects
	ReasonMemory        = "memory"         // guest memory cannot be had from the host
	ReasonRun           = "run"            // KVM_RUN failed
	ReasonThread        = "thread"         // the thread could not be prepared
)

// Failure is a vCPU that cannot go on.
type Failure struct {
	VCPU   int
	Reason string
	Detail string            // in words
	State  map[string]string // registers and the instruction, by name: "rip", "cr0", "cs", ..., "code"
	Cause  error             // a failed system call or OnThread; may be nil
}

func (f *Failure) Error() string { return f.Detail }
func (f *Failure) Unwrap() error { return f.Cause }
