package engine

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// listenRaw is a scripted peer that waits for the speaker to dial.
func listenRaw(t *testing.T, at netip.Addr) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(at.String(), strconv.Itoa(testPort)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

func acceptRaw(t *testing.T, l *net.TCPListener, addr netip.Addr) *rawPeer {
	t.Helper()
	l.SetDeadline(time.Now().Add(time.Minute))
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &rawPeer{t: t, conn: conn, addr: addr}
}

// acceptOpen accepts the first connection on which the speaker sends its OPEN. One that was made
// too late for its attempt is closed without.
func acceptOpen(t *testing.T, l *net.TCPListener, addr netip.Addr) *rawPeer {
	t.Helper()
	for {
		p := acceptRaw(t, l, addr)
		switch m := p.read(); {
		case m == nil:
			p.conn.Close()
		case m.Header.Type != gobgp.BGP_MSG_OPEN:
			t.Fatalf("the speaker has sent %v, no OPEN", m)
		default:
			return p
		}
	}
}

// TestCollision has the peer dial while the speaker's own connection waits for
// the peer's OPEN (RFC 4271 6.8): the connection that the end with the higher
// router ID has made stays, at both ends.
func TestCollision(t *testing.T) {
	for _, tt := range []struct {
		what, peerID string
		peersStays   bool
	}{
		{"the peer's ID is higher", "10.0.0.9", true},
		{"the peer's ID is lower", "9.0.0.9", false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			s := startSpeaker(t, 64512, "10.0.0.1")
			local, peer := testAddrs()
			l := listenRaw(t, peer)
			if err := s.AddNeighbor(t.Context(), Neighbor{Name: "b", LocalAddr: local, PeerAddr: peer, ASN: 64513, Import: Policy{Any: true}}); err != nil {
				t.Fatal(err)
			}
			ours := acceptOpen(t, l, peer)
			theirs := dialRaw(t, peer, local)
			theirs.send(openMessage(t, 64513, tt.peerID))
			stays, goes := ours, theirs
			if tt.peersStays {
				stays, goes = theirs, ours
			}
			for goes.read() != nil { // until it is closed
				continue
			}
			if !tt.peersStays {
				stays.send(openMessage(t, 64513, tt.peerID))
			}
			wantEstablished(t, s, stays)
		})
	}
}

// wantEstablished goes on as a peer whose OPEN is sent.
func wantEstablished(t *testing.T, s *Speaker, p *rawPeer) {
	t.Helper()
	p.send(gobgp.NewBGPKeepAliveMessage())
	waitState(t, s, "b", stateEstablished)
	p.serve()
	p.update(64513, prefixes("10.2.0.0/16"), nil)
	waitRoutes(t, s, "b", "10.2.0.0/16")
}

// TestPassivePeerIsDialled has a peer that only waits, at either end of the
// order of addresses.
func TestPassivePeerIsDialled(t *testing.T) {
	for _, higher := range []bool{false, true} {
		s := startSpeaker(t, 64512, "10.0.0.1")
		local, peer := testAddrs()
		if higher {
			local, peer = peer, local
		}
		l := listenRaw(t, peer)
		if err := s.AddNeighbor(t.Context(), Neighbor{Name: "b", LocalAddr: local, PeerAddr: peer, ASN: 64513, Import: Policy{Any: true}}); err != nil {
			t.Fatal(err)
		}
		p := acceptOpen(t, l, peer)
		p.send(openMessage(t, 64513, "10.0.0.2"))
		wantEstablished(t, s, p)
	}
}

// TestSilentConnectionIsLeft has the peer's kernel take the speaker's connection, behind which nothing reads. It would keep
// out the connections that the peer makes when it is well again.
func TestSilentConnectionIsLeft(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.9")
	local, peer := addRaw(t, s, "b", 64513, nil)
	l := listenRaw(t, peer)
	acceptOpen(t, l, peer) // and says nothing
	eventually(t, time.Minute, func() string {
		if st := statusOf(s, "b"); !strings.Contains(st.LastError, "says nothing on them") {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
	l.Close()
	// The one with the lower router ID, for which a connection of the speaker's would stay.
	var p *rawPeer
	eventually(t, time.Minute, func() string {
		p = dialRaw(t, peer, local)
		if m := p.read(); m == nil || m.Header.Type != gobgp.BGP_MSG_OPEN {
			p.conn.Close()
			return "the speaker does not take the peer's connection"
		}
		return ""
	})
	p.send(openMessage(t, 64513, "10.0.0.2"))
	p.send(gobgp.NewBGPKeepAliveMessage())
	waitState(t, s, "b", "established")
}
