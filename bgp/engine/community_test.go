package engine

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// announceWith announces prefixes of one family with these communities, and as
// the iBGP or eBGP peer that it is.
func (p *rawPeer) announceWith(asPath []uint32, localPref uint32, communities []uint32, announce ...string) {
	p.t.Helper()
	var nlri []gobgp.PathNLRI
	for _, x := range prefixes(announce...) {
		nlri = append(nlri, p.nlri(x))
	}
	attrs := []gobgp.PathAttributeInterface{gobgp.NewPathAttributeOrigin(0), gobgp.NewPathAttributeAsPath(nil)}
	if len(asPath) > 0 {
		attrs[1] = gobgp.NewPathAttributeAsPath([]gobgp.AsPathParamInterface{gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SEQ, asPath)})
	}
	if localPref > 0 {
		attrs = append(attrs, gobgp.NewPathAttributeLocalPref(localPref))
	}
	if len(communities) > 0 {
		attrs = append(attrs, gobgp.NewPathAttributeCommunities(communities))
	}
	if strings.Contains(announce[0], ":") {
		reach, err := gobgp.NewPathAttributeMpReachNLRI(gobgp.RF_IPv6_UC, nlri, netip.MustParseAddr("2001:db8::1"))
		if err != nil {
			p.t.Fatal(err)
		}
		attrs, nlri = append(attrs, reach), nil
	} else {
		hop, err := gobgp.NewPathAttributeNextHop(p.addr)
		if err != nil {
			p.t.Fatal(err)
		}
		attrs = append(attrs, hop)
	}
	p.send(gobgp.NewBGPUpdateMessage(nil, attrs, nlri))
}

// heard is what a peer was sent and not had withdrawn: for each prefix its
// LOCAL_PREF and communities, in words.
type heard struct {
	mu    sync.Mutex
	paths map[string]string
}

func (h *heard) get() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.paths)
}

func (h *heard) take(u *gobgp.BGPUpdate) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var words []string
	nlri, withdrawn := u.NLRI, u.WithdrawnRoutes
	for _, attr := range u.PathAttributes {
		switch a := attr.(type) {
		case *gobgp.PathAttributeLocalPref:
			words = append(words, fmt.Sprintf("pref %d", a.Value))
		case *gobgp.PathAttributeCommunities:
			for _, c := range a.Value {
				words = append(words, text(gobgp.WellKnownCommunity(c)))
			}
		case *gobgp.PathAttributeMpReachNLRI:
			nlri = append(nlri, a.Value...)
		case *gobgp.PathAttributeMpUnreachNLRI:
			withdrawn = append(withdrawn, a.Value...)
		}
	}
	for _, w := range withdrawn {
		delete(h.paths, w.NLRI.String())
	}
	for _, n := range nlri {
		h.paths[n.NLRI.String()] = strings.Join(words, " ")
	}
}

// hearing is a raw peer in an established session that remembers what it hears.
func hearing(t *testing.T, s *Speaker, name string, asn uint32, id string) *heard {
	t.Helper()
	local, peer := addRaw(t, s, name, asn, func(n *Neighbor) { n.Export = Policy{Any: true} })
	waitState(t, s, name, "active")
	p := dialRaw(t, peer, local)
	p.establish(asn, id)
	h := &heard{paths: make(map[string]string)}
	p.keepAlive()
	go func() {
		for m := p.read(); m != nil; m = p.read() {
			if u, ok := m.Body.(*gobgp.BGPUpdate); ok {
				h.take(u)
			}
		}
	}()
	return h
}

// expectHeard waits until a peer has heard exactly this, and the speaker counts
// as much.
func expectHeard(t *testing.T, s *Speaker, name string, h *heard, want map[string]string) {
	t.Helper()
	eventually(t, 40*time.Second, func() string {
		if got := h.get(); !maps.Equal(got, want) {
			return fmt.Sprintf("%s heard\n%v, not\n%v", name, got, want)
		}
		if st := statusOf(s, name); st.Announced != len(want) {
			return fmt.Sprintf("announced to %s: %d, not %d", name, st.Announced, len(want))
		}
		return ""
	})
}

const (
	noExport    = uint32(gobgp.COMMUNITY_NO_EXPORT)
	noAdvertise = uint32(gobgp.COMMUNITY_NO_ADVERTISE)
	subconfed   = uint32(gobgp.COMMUNITY_NO_EXPORT_SUBCONFED)
	blackhole   = uint32(gobgp.COMMUNITY_BLACKHOLE)
	shutdown    = uint32(gobgp.COMMUNITY_PLANNED_SHUT)
	other       = uint32(64999<<16 | 7)
)

// TestCommunitiesOnExport: to whom a path goes, what it has then, and that a
// path which is replaced by one with such a community is withdrawn.
func TestCommunitiesOnExport(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	source := rawSession(t, s, "source", 64513, "10.0.0.2", nil)
	internal := rawSession(t, s, "internal", 64512, "10.0.0.3", nil)
	ebgp, ibgp := hearing(t, s, "ebgp", 64514, "10.0.0.4"), hearing(t, s, "ibgp", 64512, "10.0.0.5")
	path := []uint32{64513}
	source.announceWith(path, 0, nil, "10.10.0.0/16")
	source.announceWith(path, 0, []uint32{noAdvertise}, "10.11.0.0/16")
	source.announceWith(path, 0, []uint32{other, noExport}, "10.12.0.0/16")
	source.announceWith(path, 0, []uint32{subconfed}, "10.13.0.0/16")
	source.announceWith(path, 0, []uint32{blackhole}, "10.14.0.1/32")
	source.announceWith(path, 0, []uint32{noExport, noAdvertise}, "10.15.0.0/16")
	source.announceWith(path, 0, []uint32{uint32(gobgp.COMMUNITY_LLGR_STALE)}, "10.16.0.0/16")
	source.announceWith(path, 0, []uint32{uint32(gobgp.COMMUNITY_ACCEPT_OWN), uint32(gobgp.COMMUNITY_NO_LLGR), uint32(gobgp.COMMUNITY_NO_PEER), other}, "10.17.0.0/16")
	source.announceWith(path, 0, []uint32{noExport}, "2001:db8:12::/48")
	source.announceWith(path, 0, []uint32{other}, "2001:db8:17::/48")
	internal.announceWith(nil, 100, []uint32{noExport}, "10.20.0.0/16")
	internal.announceWith(nil, 100, []uint32{other}, "10.21.0.0/16")
	toE := map[string]string{"10.10.0.0/16": "", "10.17.0.0/16": "65535:1 65535:7 65535:65284 64999:7",
		"2001:db8:17::/48": "64999:7", "10.21.0.0/16": "64999:7"}
	toI := map[string]string{"10.10.0.0/16": "pref 100", "10.12.0.0/16": "pref 100 64999:7 65535:65281", "10.13.0.0/16": "pref 100 65535:65283",
		"10.14.0.1/32": "pref 100 65535:666 65535:65281", "10.17.0.0/16": "pref 100 65535:1 65535:7 65535:65284 64999:7",
		"2001:db8:12::/48": "pref 100 65535:65281", "2001:db8:17::/48": "pref 100 64999:7"}
	expectHeard(t, s, "ebgp", ebgp, toE)
	expectHeard(t, s, "ibgp", ibgp, toI)
	if n := len(s.Routes()); n != 12 {
		t.Errorf("%d routes: communities decide what is passed on, not what is used", n)
	}

	// Another path in the place of one that was passed on, and the other way.
	source.announceWith(path, 0, []uint32{noExport}, "10.10.0.0/16")
	source.announceWith(path, 0, nil, "10.12.0.0/16", "10.11.0.0/16")
	source.announceWith(path, 0, []uint32{noAdvertise}, "2001:db8:17::/48")
	delete(toE, "10.10.0.0/16")
	delete(toE, "2001:db8:17::/48")
	delete(toI, "2001:db8:17::/48")
	toE["10.11.0.0/16"], toE["10.12.0.0/16"] = "", ""
	toI["10.10.0.0/16"], toI["10.11.0.0/16"], toI["10.12.0.0/16"] = "pref 100 65535:65281", "pref 100", "pref 100"
	expectHeard(t, s, "ebgp", ebgp, toE)
	expectHeard(t, s, "ibgp", ibgp, toI)

	// A session that begins later is sent no more.
	late := hearing(t, s, "late", 64515, "10.0.0.6")
	expectHeard(t, s, "late", late, toE)
}

// TestGracefulShutdown: a path that is about to go is used only where there is
// no other, and the community says so to whom it is passed on.
func TestGracefulShutdown(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	leaving := rawSession(t, s, "leaving", 64513, "10.0.0.2", nil)
	staying := rawSession(t, s, "staying", 64514, "10.0.0.3", nil)
	internal := rawSession(t, s, "internal", 64512, "10.0.0.4", nil)
	ibgp := hearing(t, s, "ibgp", 64512, "10.0.0.5")
	leaving.announceWith([]uint32{64513}, 0, nil, "10.10.0.0/16", "10.11.0.0/16", "10.12.0.0/16")
	staying.announceWith([]uint32{64514, 64999, 64998}, 0, nil, "10.10.0.0/16")
	internal.announceWith([]uint32{64999}, 200, []uint32{shutdown}, "10.12.0.0/16")
	// What an iBGP neighbor prefers is its own decision: the AS's border made it.
	want := map[string]string{"10.10.0.0/16": "leaving", "10.11.0.0/16": "leaving", "10.12.0.0/16": "internal"}
	check := func() {
		t.Helper()
		eventually(t, 40*time.Second, func() string {
			routes := s.Routes()
			for p, from := range want {
				if routes[netip.MustParsePrefix(p)].Best() != from || len(routes) != len(want) {
					return "routes are " + describe(routes)
				}
			}
			return ""
		})
	}
	check()
	leaving.announceWith([]uint32{64513}, 0, []uint32{other, shutdown}, "10.10.0.0/16", "10.11.0.0/16", "10.12.0.0/16")
	want["10.10.0.0/16"] = "staying"
	check()
	expectHeard(t, s, "ibgp", ibgp, map[string]string{"10.10.0.0/16": "pref 100", "10.11.0.0/16": "pref 0 64999:7 65535:0"})
	leaving.announceWith([]uint32{64513}, 0, nil, "10.10.0.0/16")
	want["10.10.0.0/16"] = "leaving"
	check()
}

// TestScopeOf is in step with the statements above; here is what they cannot
// show: the strictest wins, in whatever order.
func TestScopeOf(t *testing.T) {
	for _, tt := range []struct {
		communities []uint32
		want        scope
	}{
		{nil, toAll}, {[]uint32{other, blackhole, shutdown}, toAll}, {[]uint32{other, noExport}, toInternal},
		{[]uint32{noExport, noAdvertise}, toNobody}, {[]uint32{noAdvertise, noExport}, toNobody},
		{[]uint32{subconfed}, toInternal},
	} {
		path := &apiutil.Path{Attrs: []gobgp.PathAttributeInterface{gobgp.NewPathAttributeOrigin(0), gobgp.NewPathAttributeCommunities(tt.communities)}}
		if got := scopeOf(path); got != tt.want {
			t.Errorf("%v: %d, not %d", tt.communities, got, tt.want)
		}
	}
}
