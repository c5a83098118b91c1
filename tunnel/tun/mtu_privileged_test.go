//go:build privileged

package tun

import (
	"errors"
	"os"
	"strings"
	"testing"

	"warren/internal/netns"
)

func TestSetMTU(t *testing.T) {
	netns.Test(t)
	d := open(t, Config{Name: "tt0", MTU: 1420, Queues: 2})
	for _, mtu := range []string{"1340", "1280", "1420"} {
		n := map[string]int{"1340": 1340, "1280": 1280, "1420": 1420}[mtu]
		if err := d.SetMTU(n); err != nil {
			t.Fatal(err)
		}
		if s := ip(t, "link", "show", "tt0"); !strings.Contains(s, "mtu "+mtu+" ") || d.MTU() != 1420 {
			t.Errorf("after %s: %s; the device says %d", mtu, s, d.MTU())
		}
	}
	if err := d.SetMTU(-1); err == nil {
		t.Error("an MTU of -1 is taken")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.SetMTU(1340); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
