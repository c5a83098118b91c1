package engine

import (
	"net/netip"
	"testing"
	"time"
)

func TestRoutesBothWays(t *testing.T) {
	a, b := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, 64513, "10.0.0.2")
	start := time.Now()
	connect(t, a, b, nil, nil)
	t.Logf("established after %v", time.Since(start))
	if err := a.SetAnnounced(t.Context(), prefixes("10.1.0.0/16", "2001:db8:1::/48")); err != nil {
		t.Fatal(err)
	}
	if err := b.SetAnnounced(t.Context(), prefixes("10.2.0.0/16")); err != nil {
		t.Fatal(err)
	}
	waitRoutes(t, b, "a", "10.1.0.0/16", "2001:db8:1::/48")
	waitRoutes(t, a, "b", "10.2.0.0/16")
	if st := statusOf(b, "a"); st.Received != 2 || st.Accepted != 2 || st.Announced != 1 || st.LastError != "" ||
		st.RemoteRouterID != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("status %+v", st)
	}
	if err := a.SetAnnounced(t.Context(), prefixes("2001:db8:1::/48")); err != nil {
		t.Fatal(err)
	}
	waitRoutes(t, b, "a", "2001:db8:1::/48")
	changes := b.TakeChanges()
	if len(changes) != 2 || changes[prefixes("10.1.0.0/16")[0]].Best() != "" || changes[prefixes("2001:db8:1::/48")[0]].Best() != "a" {
		t.Errorf("changes %v", changes)
	}
	if changes := b.TakeChanges(); len(changes) != 0 {
		t.Errorf("changes once more: %v", changes)
	}
}
