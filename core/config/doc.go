// Package config turns files of the language into a plan.
//
// The language is HCL with blocks of our own (docs/language.md). Loading has three steps, and nothing is started in any of them:
//
//  1. Parse. Files are read within bounds (size, nesting, operators), because a file is input like any other.
//  2. Resolve. What can be named (var.x, local.x, secret.x, sandbox.x, ...) is a node. A node is evaluated when the first
//     expression asks for it, so declarations may stand in any order, and a node that is asked for while it is being
//     evaluated is a cycle. References to blocks are capsule values, so `var.fast ? llm.a.x : llm.b.y` works.
//  3. Check. What only the run will know (input of an agent, results of a stage) is evaluated over unknown values of the right
//     type. A misspelt attribute is an error now, and the same expression, evaluated again by Stage.Bind with real results,
//     cannot fail for a reason that could have been known.
//
// Sensitive values carry marks that name where they come from (origin). Marks survive interpolation and calls; a marked value
// may enter the block of a plugin, never a sandbox or a prompt, unless the sandbox names its origin in `expose`.
//
// The tables in schema.go are the one description of the blocks: they drive the decoder, `voidbox schema` and a test that
// demands a place in docs/language.md for every argument.
package config
