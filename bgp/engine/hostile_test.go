package engine

import (
	"strings"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// TestHostileBytes sends what has taken GoBGP down before, and what may, and
// wants everything else to go on.
func TestHostileBytes(t *testing.T) {
	s, other := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, 64513, "10.0.0.2")
	connect(t, s, other, nil, nil)
	if err := other.SetAnnounced(t.Context(), prefixes("10.2.0.0/16")); err != nil {
		t.Fatal(err)
	}
	waitRoutes(t, s, "b", "10.2.0.0/16")
	since := statusOf(s, "b").Since
	badUpdates := map[string][]byte{
		"attributes longer than the message": message(gobgp.BGP_MSG_UPDATE, 23, []byte{0, 0, 0xff, 0xff}),
		"withdrawn longer than the message":  message(gobgp.BGP_MSG_UPDATE, 23, []byte{0xff, 0xff, 0, 0}),
		"prefix length 255":                  message(gobgp.BGP_MSG_UPDATE, 28, []byte{0, 0, 0, 0, 255, 1, 2, 3, 4}),
		"empty attribute header":             message(gobgp.BGP_MSG_UPDATE, 25, []byte{0, 0, 0, 2, 0x40, 1}),
		"no mandatory attributes":            message(gobgp.BGP_MSG_UPDATE, 25, []byte{0, 0, 0, 0, 8, 10}),
		"MP_REACH cut short":                 message(gobgp.BGP_MSG_UPDATE, 31, []byte{0, 0, 0, 8, 0x80, 14, 5, 0, 2, 1, 16, 0}),
		"unknown type in the session":        message(99, 19, nil),
		"length below the header's":          message(gobgp.BGP_MSG_UPDATE, 5, nil),
		"an OPEN in the session":             message(gobgp.BGP_MSG_OPEN, 29, []byte{4, 0, 1, 0, 90, 9, 9, 9, 9, 0}),
		"route refresh of nothing":           message(gobgp.BGP_MSG_ROUTE_REFRESH, 23, []byte{0, 99, 0, 99}),
	}
	beforeOpen := map[string][]byte{
		"unknown type, 19 bytes":   message(99, 19, nil),
		"type 0":                   message(0, 19, nil),
		"no BGP at all":            []byte("GET / HTTP/1.1\r\nHost: tunnel\r\n\r\n"),
		"OPEN of bad version":      message(gobgp.BGP_MSG_OPEN, 29, []byte{9, 0, 1, 0, 90, 9, 9, 9, 9, 0}),
		"OPEN with bad parameters": message(gobgp.BGP_MSG_OPEN, 32, []byte{4, 0, 1, 0, 90, 9, 9, 9, 9, 3, 2, 200, 1}),
		"UPDATE before OPEN":       message(gobgp.BGP_MSG_UPDATE, 23, []byte{0, 0, 0, 0}),
		"cut short":                message(gobgp.BGP_MSG_OPEN, 4096, []byte{4}),
	}
	attack := func(name string, established bool, b []byte) {
		local, peer := addRaw(t, s, name, 64666, nil)
		waitState(t, s, name, "active")
		p := dialRaw(t, peer, local)
		if established {
			p.establish(64666, "10.6.6.6")
			waitState(t, s, name, "established")
		}
		p.write(b)
		p.conn.Close()
		eventually(t, 40*time.Second, func() string {
			if st := statusOf(s, name); established && st.State == "established" {
				return name + ": still established"
			}
			return ""
		})
	}
	for name, b := range beforeOpen {
		attack(name, false, b)
	}
	for name, b := range badUpdates {
		attack(name, true, b)
	}
	if st := statusOf(s, "b"); st.State != "established" || !st.Since.Equal(since) {
		t.Errorf("the other session was disturbed: %+v", st)
	}
	waitRoutes(t, s, "b", "10.2.0.0/16")
}

// TestWordsForOperators checks what LastError says when the two ends' configs
// do not fit.
func TestWordsForOperators(t *testing.T) {
	for _, tt := range []struct {
		what string
		asn  uint32 // of the peer; its neighbor is configured with 64513
		id   string
		does func(*rawPeer)
		says string
	}{
		{"wrong AS", 64999, "10.0.0.9", nil, "the peer is in AS 64999, this router's config expects 64513: correct [bgp] asn"},
		{"wrong 4-octet AS", 4200000001, "10.0.0.9", nil, "the peer is in AS 4200000001, this router's config expects 64513"},
		{"the peer refuses our AS", 64513, "10.0.0.9", func(p *rawPeer) {
			p.send(gobgp.NewBGPNotificationMessage(gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR, gobgp.BGP_ERROR_SUB_BAD_PEER_AS, nil))
		}, "the peer's config expects another AS than this router's"},
		{"router ID 0", 64513, "0.0.0.0", nil, "router ID"},
		{"our own router ID", 64513, "10.0.0.1", func(p *rawPeer) { p.send(gobgp.NewBGPKeepAliveMessage()) },
			"the peer uses this router's own router ID 10.0.0.1: give each router its own router_id"},
		{"shut down", 64513, "10.0.0.9", func(p *rawPeer) {
			p.send(openMessage(p.t, 64513, "10.0.0.9"))
			p.send(gobgp.NewBGPKeepAliveMessage())
			p.send(gobgp.NewBGPNotificationMessage(gobgp.BGP_ERROR_CEASE, gobgp.BGP_ERROR_SUB_ADMINISTRATIVE_SHUTDOWN, nil))
		}, "the peer ended the session: shut down there"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			s := startSpeaker(t, 64512, "10.0.0.1")
			local, peer := addRaw(t, s, "site-b", 64513, nil)
			waitState(t, s, "site-b", "active")
			p := dialRaw(t, peer, local)
			if tt.does == nil || !strings.HasPrefix(tt.what, "the peer") && !strings.HasPrefix(tt.what, "shut") {
				p.send(openMessage(t, tt.asn, tt.id))
			}
			if tt.does != nil {
				tt.does(p)
			}
			eventually(t, 40*time.Second, func() string {
				if st := statusOf(s, "site-b"); !strings.Contains(st.LastError, tt.says) {
					return st.State + ": " + st.LastError
				}
				return ""
			})
		})
	}
}

func TestTwoPeersWithOneRouterID(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	p := rawSession(t, s, "site-b", 64513, "10.0.0.9", nil)
	rawSession(t, s, "site-c", 64514, "10.0.0.9", nil)
	for _, name := range []string{"site-b", "site-c"} {
		eventually(t, 40*time.Second, func() string {
			if st := statusOf(s, name); !strings.Contains(st.LastError, "peer site-b and peer site-c both use router ID 10.0.0.9") {
				return name + ": " + st.LastError
			}
			return ""
		})
	}
	p.conn.Close()
	eventually(t, 40*time.Second, func() string { return statusOf(s, "site-c").LastError })
}

// TestTwoLinksToOneRouter checks that what is as it should be is no problem.
func TestTwoLinksToOneRouter(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	rawSession(t, s, "link-0", 64513, "10.0.0.9", nil)
	rawSession(t, s, "link-1", 64513, "10.0.0.9", nil)
	for _, name := range []string{"link-0", "link-1"} {
		eventually(t, 40*time.Second, func() string {
			if st := statusOf(s, name); st.State != "established" || st.LastError != "" {
				return name + " is " + st.State + ": " + st.LastError
			}
			return ""
		})
	}
}

// TestWrongASBetweenSpeakers is the common mistake, with both ends dialling.
func TestWrongASBetweenSpeakers(t *testing.T) {
	a, b := startSpeaker(t, 64512, "10.0.0.1"), startSpeaker(t, 64999, "10.0.0.2")
	addrA, addrB := testAddrs()
	connectAt(t, a, b, addrA, addrB, func(n *Neighbor) { n.ASN = 64513 }, nil)
	for _, tt := range []struct {
		s          *Speaker
		name, says string
	}{
		{a, "b", "the peer is in AS 64999, this router's config expects 64513"},
		{b, "a", "the peer's config expects another AS than this router's"},
	} {
		eventually(t, 40*time.Second, func() string {
			if st := statusOf(tt.s, tt.name); !strings.Contains(st.LastError, tt.says) {
				return tt.name + " is " + st.State + ": " + st.LastError
			}
			return ""
		})
	}
}
