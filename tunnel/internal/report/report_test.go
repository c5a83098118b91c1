package report

import (
	"net/netip"
	"testing"
	"time"

	"warren/tunnel"
)

func TestReport(t *testing.T) {
	r := New("tls", "site-b", 1500)
	made := r.Status().Since
	now := made.Add(time.Hour)
	remote := netip.MustParseAddrPort("192.0.2.1:443")

	r.SetState(now, Rest(nil))
	if s := r.Status(); s.State != tunnel.StateWaiting || s.Since != made || s.Transport != "tls" || s.Interface != "site-b" || s.MTU != 1500 {
		t.Errorf("%+v", s)
	}
	if !r.SetError("why") || r.SetError("why") || !r.SetError("") || !r.SetError("why") {
		t.Error("what is news is not, or the reverse")
	}
	r.Measured(time.Second)
	r.Up(now, remote)
	if s := r.Status(); !r.IsUp() || s.Since != now || s.Remote != remote || s.RTT != 0 || s.LastError != "why" {
		t.Errorf("%+v", s)
	}
	r.Measured(8 * time.Millisecond)
	r.Measured(16 * time.Millisecond)
	if rtt := r.Status().RTT; rtt != 9*time.Millisecond {
		t.Errorf("round trip %v", rtt)
	}
	r.Change(func(s *tunnel.Status) { s.Lanes = 2 })
	later := now.Add(time.Minute)
	r.Up(later, remote)
	if s := r.Status(); s.Since != now || s.Lanes != 2 {
		t.Errorf("%+v", s)
	}
	r.Down(later, Rest([]string{"host:1"}), "gone")
	if s := r.Status(); r.IsUp() || s.State != tunnel.StateConnecting || s.Since != later || s.Remote.IsValid() || s.RTT != 0 || s.Lanes != 0 || s.LastError != "gone" {
		t.Errorf("%+v", s)
	}
}

func TestCounters(t *testing.T) {
	var c Counters
	for i, n := range []interface{ Add(uint64) uint64 }{&c.RxBytes, &c.TxBytes, &c.RxPackets, &c.TxPackets, &c.Drops} {
		n.Add(uint64(i))
		n.Add(1)
	}
	if got, want := c.Stats(), (tunnel.Stats{RxBytes: 1, TxBytes: 2, RxPackets: 3, TxPackets: 4, Drops: 5}); got != want {
		t.Errorf("%+v", got)
	}
}
