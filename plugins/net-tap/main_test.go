package main

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/voidbox-run/voidbox/plugins/net-tap/internal/wire"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func TestDescription(t *testing.T) {
	d, err := plugin(wire.New()).Describe()
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Schema.Attributes) != 2 || len(d.Capabilities) != 0 || len(d.Namespaces) != 0 {
		t.Errorf("%+v: it takes a device and a bridge, decides nothing, and stays in the host's namespaces", d)
	}
}

func TestConfiguration(t *testing.T) {
	for _, tc := range []struct {
		block string
		want  error
	}{
		{`{}`, nil},
		{`{"device": "vbtap0", "bridge": "br0"}`, nil},
		{`{"device": "a name"}`, errdef.ErrInvalid},
	} {
		p := plugin(wire.New())
		if err := p.Configure(t.Context(), base.Config{JSON: json.RawMessage(tc.block)}); !errors.Is(err, tc.want) {
			t.Errorf("%s: error %v", tc.block, err)
		}
	}
}
