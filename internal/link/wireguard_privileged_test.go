//go:build privileged

package link

import (
	"testing"

	"warren/internal/netns"
)

// What is no interface of the kernel's WireGuard stays, whatever its alias, and what is not there is no error.
func TestRemoveWireGuardLeavesOthers(t *testing.T) {
	netns.Test(t)
	ip(t, "tuntap add mode tun name tun0")
	if err := SetAlias("tun0", "warren:b of /w.toml"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tun0", "nosuch0"} {
		if err := RemoveWireGuard(name, func(string) bool { return true }); err != nil {
			t.Error(err)
		}
	}
	if there, err := Exists("tun0"); err != nil || !there {
		t.Errorf("tun0 is there: %v, %v", there, err)
	}
}
