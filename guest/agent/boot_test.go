package main_test

import (
	"testing"
)

func TestMachineBoots(t *testing.T) {
	config := newConfig()
	v := startVM(t, config, options{})
	for _, a := range v.await() {
		t.Logf("%+v", a)
	}
	t.Log(v.console.String())
}
