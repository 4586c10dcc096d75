// Package plugintest holds one conformance suite for each contract. Every implementation passes the same suite, ours or not:
//
//	func TestContract(t *testing.T) {
//		plugintest.Sandbox(t, func(t *testing.T) sandbox.Sandbox { return ... })
//	}
//
// A suite asserts what the contract promises and nothing else. What an implementation may decline it declares as a capability,
// and the suite then asserts that it declines with errdef.ErrUnsupported: no case is skipped. A sandbox may decline to resize a
// terminal, to dial, to freeze and to measure, and nothing else. Deadlines are only a safety net;
// no verdict depends on how fast anything is.
package plugintest
