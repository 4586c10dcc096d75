package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/bufbuild/protocompile/linker"
	"google.golang.org/protobuf/reflect/protoreflect"
)

var fieldName = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// lint holds the contracts to the house rules: everything named is explained, an enum's zero is its unset value, a call has
// request and response types of its own so that each can grow.
func lint(files linker.Files) error {
	var findings []error
	report := func(d protoreflect.Descriptor, format string, args ...any) {
		loc := d.ParentFile().SourceLocations().ByDescriptor(d)
		findings = append(findings, fmt.Errorf("%s:%d: %s: %s", d.ParentFile().Path(), loc.StartLine+1, d.FullName(), fmt.Sprintf(format, args...)))
	}
	explained := func(d protoreflect.Descriptor) {
		if strings.TrimSpace(d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments) == "" {
			report(d, "has no comment")
		}
	}
	for _, f := range files {
		for i := range f.Services().Len() {
			service := f.Services().Get(i)
			explained(service)
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				explained(method)
				if want := method.Name() + "Request"; method.Input().Name() != want {
					report(method, "takes %s, want %s", method.Input().Name(), want)
				}
				if want := method.Name() + "Response"; method.Output().Name() != want {
					report(method, "returns %s, want %s", method.Output().Name(), want)
				}
			}
		}
		lintEnums(f.Enums(), report, explained)
		lintMessages(f.Messages(), report, explained)
	}
	return errors.Join(findings...)
}

type (
	reporter  = func(d protoreflect.Descriptor, format string, args ...any)
	explainer = func(d protoreflect.Descriptor)
)

func lintMessages(messages protoreflect.MessageDescriptors, report reporter, explained explainer) {
	for i := range messages.Len() {
		message := messages.Get(i)
		if message.IsMapEntry() {
			continue
		}
		explained(message)
		for j := range message.Fields().Len() {
			if field := message.Fields().Get(j); !fieldName.MatchString(string(field.Name())) {
				report(field, "is not lower_snake_case")
			}
		}
		lintEnums(message.Enums(), report, explained)
		lintMessages(message.Messages(), report, explained)
	}
}

func lintEnums(enums protoreflect.EnumDescriptors, report reporter, explained explainer) {
	for i := range enums.Len() {
		enum := enums.Get(i)
		explained(enum)
		if zero := enum.Values().ByNumber(0); zero == nil || !strings.HasSuffix(string(zero.Name()), "_UNSPECIFIED") {
			report(enum, "needs a zero value that ends in _UNSPECIFIED")
		}
	}
}
