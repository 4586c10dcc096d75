// Package pluginv1 is the generated code of the contracts between the core and its plugins. The .proto files beside it are the
// source and carry the explanations; `make generate` rewrites the rest. Plugin authors in Go use package sdk instead.
package pluginv1
