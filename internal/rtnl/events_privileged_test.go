//go:build privileged

package rtnl

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"warren/internal/netns"
)

func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
}

// TestHidden: a subscription gets what it is not told to leave out.
func TestHidden(t *testing.T) {
	netns.Test(t)
	ip(t, "link set lo up")
	c, err := Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, tt := range []struct {
		hidden Hidden
		want   string // protocol/table of the routes that are seen to come
	}{
		{Hidden{}, "186/254 186/77 187/254 9/254"},
		{Hidden{Port: c.Port()}, "186/254 186/77 187/254"},
		{Hidden{Protocols: []int{186, 187}}, "9/254"},
		{Hidden{Protocols: []int{186, 187}, Table: 254}, "186/77 9/254"},
		{Hidden{Port: c.Port(), Protocols: []int{186}, Table: 77}, "186/254 187/254"},
	} {
		e, err := Subscribe(tt.hidden, unix.RTNLGRP_IPV4_ROUTE, 1<<20 /* a group that no kernel knows */)
		if err != nil {
			t.Fatal(err)
		}
		for _, route := range []string{"proto 186", "proto 186 table 77", "proto 187 metric 5"} {
			ip(t, "route add blackhole 10.9.0.0/16 "+route)
		}
		own, _ := ParseRoute(RouteRequest(unix.AF_INET, 254, 9))
		own.Metric, own.Type = 7, unix.RTN_BLACKHOLE
		for _, typ := range []uint16{unix.RTM_NEWROUTE, unix.RTM_DELROUTE} {
			b := c.Batch()
			b.Route(typ, unix.NLM_F_CREATE, own)
			if err := b.Send(func(_ int, a Answer) { t.Error(a) }); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		if _, err := e.Drain(func(h Header, b []byte) {
			if r, ok := ParseRoute(b); ok && h.Type == unix.RTM_NEWROUTE {
				got = append(got, fmt.Sprintf("%d/%d", r.Protocol, r.Table))
			}
		}); err != nil {
			t.Error(err)
		}
		if want := strings.Fields(tt.want); !slices.Equal(got, want) {
			t.Errorf("%+v: got %v, want %v", tt.hidden, got, want)
		}
		e.Close()
		for _, route := range []string{"proto 186", "proto 186 table 77", "proto 187 metric 5"} {
			ip(t, "route del blackhole 10.9.0.0/16 "+route)
		}
	}
}

// TestDrainAfterLoss: when Drain has told of a loss nothing waits any more, and what happens
// then is not lost without a word.
func TestDrainAfterLoss(t *testing.T) {
	netns.Test(t)
	ip(t, "link set lo up")
	e, err := Subscribe(Hidden{}, unix.RTNLGRP_IPV4_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.SetReceiveBuffer(1); err != nil {
		t.Fatal(err)
	}
	for metric := range 100 {
		ip(t, fmt.Sprintf("route add blackhole 10.9.0.0/16 metric %d", metric+1))
	}
	none := func(Header, []byte) {}
	if _, err := e.Drain(none); !errors.Is(err, ErrLost) {
		t.Fatalf("100 events in a buffer for a few: %v; want ErrLost", err)
	}
	ip(t, "route add blackhole 10.8.0.0/16")
	var got []string
	n, err := e.Drain(func(_ Header, b []byte) {
		if r, ok := ParseRoute(b); ok {
			got = append(got, r.Prefix.String())
		}
	})
	if want := []string{"10.8.0.0/16"}; n != 1 || err != nil || !slices.Equal(got, want) {
		t.Errorf("after the loss: %d datagrams, %v, %v; want %v", n, got, err, want)
	}
}
