package judge

import (
	"net/netip"
	"strings"
	"testing"
)

// TestLoops: what has been here before is dropped, counted and named, and it is known which
// prefixes the peer announces like that.
func TestLoops(t *testing.T) {
	own := origin + pathOwn + hop
	originator, cluster := attr(0x80, attrOriginatorID, "0a000001"), attr(0x80, attrClusterList, "0a0000030a000009")
	inside := origin + attr(0x40, attrASPath, "") + hop
	for _, tt := range []struct {
		name     string
		internal bool
		attrs    string
		loop     Loop
		text     string
	}{
		{"own AS", false, own, LoopAS, "AS_PATH has this router's AS 64512 ("},
		{"own ORIGINATOR_ID", true, inside + originator, LoopOriginator, "ORIGINATOR_ID is this router's ID"},
		{"own cluster", true, inside + cluster, LoopCluster, "CLUSTER_LIST has this router's cluster ID"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := setup{internal: tt.internal, plain: true, policy: &Policy{Accept: acceptAll, HardMaxPrefixes: 2}}
			s, r := u.establish(t), u.reader()
			step := func(m []byte, looped int, lines ...string) {
				t.Helper()
				out, err := s.FromPeer(nil, m)
				if err != nil {
					t.Fatal(err)
				}
				if got := r.readAll(t, withoutKeepalives(t, out)); strings.Join(got, ";") != strings.Join(lines, ";") {
					t.Errorf("handed on %q, want %q", got, lines)
				}
				checkCounts(t, s, r)
				if c := s.Counts(); c.Families[IPv4].Looped != looped || c.Last != "" || c.Withdrawn != 0 {
					t.Errorf("counts %+v, want %d looped", c, looped)
				}
			}
			step(updateMessage(nil, unhex(tt.attrs), unhex("080a080b")), 2)
			if c := s.Counts(); c.Looped != 2 || !strings.HasPrefix(s.LastLooped(), "10.0.0.0/8 and 1 more: "+tt.text) {
				t.Errorf("%d looped, the last: %q", c.Looped, s.LastLooped())
			}
			for p, l := range s.EachLooped {
				if p != netip.MustParsePrefix("10.0.0.0/8") && p != netip.MustParsePrefix("11.0.0.0/8") || l != tt.loop {
					t.Errorf("%v is looped as %v", p, l)
				}
			}
			step(updateMessage(unhex("080b"), nil, nil), 1)
			good := inside
			if !tt.internal {
				good = origin + path + hop
			}
			line := "+10.0.0.0/8"
			if tt.internal {
				line += " 2="
			}
			step(updateMessage(nil, unhex(good), unhex("080a")), 0, line)
			step(updateMessage(nil, unhex(tt.attrs), unhex("080a")), 1, "-10.0.0.0/8")
			step(updateMessage(nil, unhex(tt.attrs), unhex("080a")), 1)

			// They are of what HardMaxPrefixes allows, looped or not.
			step(updateMessage(nil, unhex(good), unhex("080c")), 1, strings.Replace(line, "10.", "12.", 1))
			if _, err := s.FromPeer(nil, updateMessage(nil, unhex(tt.attrs), unhex("080d"))); err == nil || checkNotification(t, err).Code != errCease {
				t.Errorf("a third prefix: %v", err)
			}
		})
	}
}

// TestLoopsAreNotKept: what has been here before is no route to keep when the connection is
// lost, and the counts go on.
func TestLoopsAreNotKept(t *testing.T) {
	u := setup{plain: true}
	s := u.establish(t)
	if _, err := s.FromPeer(nil, updateMessage(nil, unhex(origin+pathOwn+hop), unhex("080a"))); err != nil {
		t.Fatal(err)
	}
	s.Retain(nil)
	next := u.establish(t)
	next.Resume(nil, s)
	if c := next.Counts(); c.Families[IPv4].Received != 0 || c.Looped != 1 || next.LastLooped() == "" {
		t.Errorf("counts %+v, the last: %q", c, next.LastLooped())
	}
}
