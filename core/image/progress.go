package image

import (
	"context"
	"fmt"
)

type progressKey struct{}

// WithProgress returns a context whose calls into this package report each slow step to report as it begins, as one
// line without a newline. A call that finds everything in the cache reports nothing.
func WithProgress(ctx context.Context, report func(string)) context.Context {
	return context.WithValue(ctx, progressKey{}, report)
}

func progress(ctx context.Context, format string, args ...any) {
	if report, ok := ctx.Value(progressKey{}).(func(string)); ok && report != nil {
		report(fmt.Sprintf(format, args...))
	}
}
