// Package importrules holds the house rules about who may import whom, as a test. A rule states its reason, and the failure
// repeats it, so that the one who breaks a rule learns what it protects.
package importrules
