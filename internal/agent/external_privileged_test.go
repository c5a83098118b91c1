//go:build privileged

package agent

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/internal/config"
	"warren/internal/netns"
	"warren/tunnel"
)

// TestAddedAddressesOutliveARestart: the next daemon knows which addresses are the daemon's on an interface that something
// else has made, and takes them away when they are not wanted any more; what that something gave it stays.
func TestAddedAddressesOutliveARestart(t *testing.T) {
	if !netns.InOwn(t) {
		return
	}
	openFar(t, "far0", passing(1<<16))
	ip(t, "link set far0 up")
	ip(t, "addr add 192.0.2.9/32 dev far0")
	has := func(what, address string, want bool) {
		t.Helper()
		all := ip(t, "addr show dev far0")
		if strings.Contains(all, "inet "+address+" ") != want || !strings.Contains(all, "inet 192.0.2.9/32 ") {
			t.Errorf("%s: %s is to be there: %v\n%s", what, address, want, all)
		}
	}
	with := func(address string) config.Tunnel {
		own := netip.MustParsePrefix(address)
		return config.Tunnel{
			Transport: config.TransportExternal, Interface: "far0", Address: []netip.Prefix{own}, PeerAddress: own.Addr().Next(),
			Probe: config.ProbeICMP, Keepalive: 50 * time.Millisecond, DeadAfter: time.Minute,
		}
	}
	open := func(cfg config.Tunnel, of *leftovers) *externalTunnel {
		t.Helper()
		up := make(chan struct{}, 16)
		i := &interfaces{log: slog.New(slog.DiscardHandler), left: of}
		h, err := i.Open("b", cfg, reporter{
			event: func(ev tunnel.Event) {
				if ev.Up {
					up <- struct{}{}
				}
			},
			failed: func(err error) { t.Errorf("failed: %v", err) },
		})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-up:
		case <-time.After(time.Minute):
			t.Fatalf("it does not come up: %+v", h.Status())
		}
		return h.(*externalTunnel)
	}
	const first, other = "10.9.0.1/30", "10.9.4.1/30"
	for what, next := range map[string]func(o *leftovers){
		"the tunnel is closed": func(o *leftovers) {
			e := open(with(first), o)
			has("taken over", first, true)
			e.Close("test")
		},
		"another address is configured": func(o *leftovers) {
			e := open(with(other), o)
			has("at once", first, false)
			has("at once", other, true)
			e.Close("test")
			has("closed", other, false)
		},
		"the tunnel is not configured": func(o *leftovers) {
			if _, err := o.drop(); err != nil {
				t.Error(err)
			}
		},
		"the tunnel is to have another interface": func(o *leftovers) {
			cfg := with(first)
			cfg.Interface = "other0"
			e := &externalTunnel{cfg: cfg, report: func(err error) { t.Error(err) }}
			e.takeUp(o.takeStanding("b"))
		},
		"the next daemon does not get that far": func(o *leftovers) {
			if err := o.dropStanding(); err != nil {
				t.Error(err)
			}
		},
	} {
		e := open(with(first), nil)
		has(what, first, true)
		n := passed(t, left{Standing: map[string]leftStanding{"b": e.stand()}})
		e.cancel() // the process is another program now
		<-e.done
		has(what, first, true)
		next(newLeftovers(n))
		has(what, first, false)
	}
}
