// Package policy decides which flows a guest may open.
package policy
