package run

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/policy"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func TestNetworksThatCannotBe(t *testing.T) {
	slirp := func() *plan.Network { return &plan.Network{Block: plan.Block{Plugin: "slirp"}} }
	bad := slirp()
	bad.Egress = &plan.Egress{Allow: []plan.EgressRule{{Origin: "a.hcl:1", Destination: "pypi.org:443/udp"}}}
	tap, policed := &plan.Network{Block: plan.Block{Plugin: "tap"}}, &plan.Network{Block: plan.Block{Plugin: "tap"}}
	policed.Egress = &plan.Egress{}
	for name, tc := range map[string]struct {
		backend string
		network *plan.Network
		missing string
		want    error
	}{
		"all is there":                    {"kvm", slirp(), "", nil},
		"no network":                      {"qemu", nil, "", nil},
		"a backend without devices":       {"qemu", slirp(), "", errdef.ErrUnsupported},
		"a plugin that is not there":      {"kvm", slirp(), "network-slirp", errdef.ErrNotFound},
		"a policy that could not be held": {"kvm", bad, "", errdef.ErrInvalid},
		"a network without policy":        {"kvm", tap, "", nil},
		"a policy that nobody would hold": {"kvm", policed, "", errdef.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Run{ctx: t.Context(), cfg: Config{Host: &fakeHost{t: t, missing: map[string]bool{tc.missing: true}}}}
			err := r.checkSandbox(&plan.Sandbox{Name: "box", Backend: tc.backend, Network: tc.network})
			if !errors.Is(err, tc.want) {
				t.Fatalf("error %v", err)
			}
			if config := new(ConfigError); err != nil && !errors.As(err, &config) {
				t.Errorf("%T is not for whoever wrote the file", err)
			}
		})
	}
}

func TestWhatTheGuestConfigures(t *testing.T) {
	a, err := policy.Attachment(&plan.Network{}, policy.Host{})
	if err != nil {
		t.Fatal(err)
	}
	want := boot.Network{
		Interfaces: []boot.Interface{{MAC: "52:54:00:12:34:56", Addresses: []string{"10.0.2.15/24"}, Gateways: []string{"10.0.2.2"}, MTU: 1500}},
		DNS:        []string{"10.0.2.3"},
	}
	if diff := cmp.Diff(want, guestNetwork(a)); diff != "" {
		t.Error(diff)
	}
}
