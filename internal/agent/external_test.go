package agent

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"warren/internal/config"
	"warren/internal/underlay"
	"warren/tunnel"
)

// An interface that is not there is no error: it may come.
func TestExternalInterfaceMayCome(t *testing.T) {
	cfg := config.Tunnel{
		Transport: config.TransportExternal, Interface: "nosuch0", PeerAddress: netip.MustParseAddr("fe80::2"),
		Probe: config.ProbeICMP, Keepalive: 100 * time.Millisecond, DeadAfter: 200 * time.Millisecond,
		Address: []netip.Prefix{netip.MustParsePrefix("fe80::1/64")},
	}
	i := &interfaces{log: slog.New(slog.DiscardHandler)}
	e, err := i.Open("b", cfg, reporter{
		event:  func(ev tunnel.Event) { t.Errorf("event %+v", ev) },
		failed: func(err error) { t.Errorf("failed: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, peer, _ := e.Ends(tunnel.Event{}); peer.String() != "fe80::2%nosuch0" {
		t.Errorf("the peer is at %s", peer)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		st := e.Status()
		if st.State == tunnel.StateWaiting && strings.Contains(st.LastError, "nosuch0 does not exist") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", st)
		}
	}
	e.Close("test")
	if st := e.Status(); st.State != tunnel.StateDown {
		t.Errorf("after closing it is %s", st.State)
	}
}

// What was added to an interface is forgotten with the interface: the next one
// of that name may have the address from its maker.
func TestAddedAddressesBelongToOneInterface(t *testing.T) {
	e := &externalTunnel{cfg: config.Tunnel{Interface: "nosuch0"}, index: 1 << 30, added: []netip.Prefix{netip.MustParsePrefix("fe80::1/64")}}
	if err := e.addAddresses(8, nil); err == nil {
		t.Error("there is no such interface")
	}
	if len(e.added) > 0 || e.index != 8 {
		t.Errorf("still %v of interface %d", e.added, e.index)
	}
}

// Learned routes must not get into the transports' own table.
func TestGuardTableIsRefused(t *testing.T) {
	if config.GuardTable != underlay.Table {
		t.Errorf("the config refuses table %d, the guard's is %d", config.GuardTable, underlay.Table)
	}
}
