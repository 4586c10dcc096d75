package policy

// Spend moves n bytes at once, or none: it is Take and Settle for whoever cannot wait, such as a datagram.
func (e *Evaluator) Spend(n int) bool {
	granted, _ := e.Take(n)
	if granted < n {
		if granted > 0 {
			e.Settle(granted, 0)
		}
		return false
	}
	e.Settle(n, n)
	return true
}
