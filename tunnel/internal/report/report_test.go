package report

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
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
	if !r.SetError("why") || r.SetError("why") || !r.SetError("") || r.SetError("why") {
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

// One trouble is one line of the log, whatever the kernel chose for each try, and
// also where two take turns.
func TestNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New("tls", "site-b", 1500)
		news := 0
		for port := range 100 {
			for _, reason := range []string{
				fmt.Sprintf("b.example.net:443: lookup b.example.net on 127.0.0.53:53: read udp 127.0.0.1:%d->127.0.0.53:53: read: connection refused", 30000+port),
				fmt.Sprintf("read tcp [2001:db8::1%%eth0]:%d->[2001:db8::2]:443: read: no route to host", 30000+port),
			} {
				if r.SetError(reason) {
					news++
				}
			}
		}
		if got, want := r.Status().LastError, "read tcp [2001:db8::2]:443: read: no route to host"; news != 2 || got != want {
			t.Errorf("%d times news, %q", news, got)
		}
		time.Sleep(repeatAfter)
		if !r.SetError("other") || r.SetError("other") || !r.SetError("read tcp [2001:db8::2]:443: read: no route to host") {
			t.Error("what lasts is not said again")
		}
		r.Up(time.Now(), netip.AddrPort{})
		r.Down(time.Now(), tunnel.StateConnecting, "cut")
		if !r.SetError("other") {
			t.Error("no news after the tunnel was up")
		}
		for i := range 100 * maxSaid {
			r.SetError(fmt.Sprint("reason ", i))
		}
		if len(r.said) > maxSaid {
			t.Errorf("%d are remembered", len(r.said))
		}
	})
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
