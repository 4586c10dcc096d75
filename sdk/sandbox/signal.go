package sandbox

// signals holds Linux's numbers, the same on amd64 and arm64 (signal(7)). A sandbox is Linux whatever the host is.
var signals = map[string]int{
	"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11,
	"USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CONT": 18, "STOP": 19, "TSTP": 20, "TTIN": 21,
	"TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27, "WINCH": 28, "IO": 29, "PWR": 30, "SYS": 31,
}

var signalNames = func() map[int]string {
	names := make(map[int]string, len(signals))
	for name, n := range signals {
		names[n] = name
	}
	return names
}()

// SignalNumber returns Linux's number of a signal given by its name without SIG.
func SignalNumber(name string) (int, bool) {
	n, ok := signals[name]
	return n, ok
}

// SignalName is the inverse of SignalNumber; it returns "" for real-time and unknown signals.
func SignalName(number int) string { return signalNames[number] }
