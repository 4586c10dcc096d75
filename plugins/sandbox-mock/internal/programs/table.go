package programs

// Table holds every program by its name.
var Table = map[string]func(*Proc) int{}

func init() {
	for _, group := range []map[string]func(*Proc) int{text, files, system} {
		for name, program := range group {
			Table[name] = program
		}
	}
}
