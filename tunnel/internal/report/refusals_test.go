package report

import (
	"net/netip"
	"testing"
	"time"
)

// However many are refused, a source where a peer is expected stays, and memory is bounded.
func TestRefusalsAreBounded(t *testing.T) {
	var r Refusals
	now := time.Now()
	peer, other := netip.MustParseAddr("198.51.100.6"), netip.MustParseAddr("203.0.113.1")
	r.Note(now, peer, "another secret", true)
	r.Note(now.Add(time.Second), netip.MustParseAddr("::ffff:198.51.100.6"), "another link", true)
	for i := range 10 * maxRefusals {
		r.Note(now.Add(time.Duration(2+i)*time.Second), other, "a stranger", false)
		other = other.Next()
	}
	all := r.List(time.Time{})
	if len(all) != maxRefusals || all[0].Source != other.Prev() {
		t.Fatalf("%d are remembered, the latest is %+v", len(all), all[0])
	}
	if last := all[len(all)-1]; last.Source != peer || last.Count != 2 || last.Reason != "another link" || !last.Last.Equal(now.Add(time.Second)) {
		t.Errorf("the peer's: %+v", last)
	}
	if recent := r.List(all[1].Last); len(recent) != 2 {
		t.Errorf("%d are recent, want 2", len(recent))
	}
	r.Forget(peer)
	for _, o := range r.List(time.Time{}) {
		if o.Source == peer {
			t.Errorf("still there: %+v", o)
		}
	}
	var full Refusals // of expected ones only: an unexpected one does not push one out
	for range maxRefusals + 1 {
		full.Note(now, other, "", true)
		other = other.Next()
	}
	full.Note(now, peer, "", false)
	if all := full.List(time.Time{}); len(all) != maxRefusals || all[0].Source == peer {
		t.Errorf("%+v", all)
	}
	full.Note(now.Add(expectedFor), peer, "", false) // unless those are old
	if all := full.List(time.Time{}); len(all) != maxRefusals || all[0].Source != peer {
		t.Errorf("%+v", all)
	}
}

// TestRefusalsOfOneNetwork has a site use one address after the other: it is one source, which is shown where it was last.
func TestRefusalsOfOneNetwork(t *testing.T) {
	var r Refusals
	now, from := time.Now(), netip.MustParseAddr("2001:db8:6::1")
	for range 3 {
		r.Note(now, from, "another secret", true)
		from = from.Next()
	}
	if all := r.List(time.Time{}); len(all) != 1 || all[0].Count != 3 || all[0].Source != from.Prev() {
		t.Errorf("%+v", all)
	}
	r.Forget(from) // another router of the site, which was let in
	if all := r.List(time.Time{}); len(all) != 1 {
		t.Errorf("%+v", all)
	}
	r.Forget(from.Prev())
	if all := r.List(time.Time{}); len(all) != 0 {
		t.Errorf("still there: %+v", all)
	}
}
