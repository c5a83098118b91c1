package engine

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// establishedRaw is a speaker in a session with a raw peer, of which it has a route.
func establishedRaw(t *testing.T) (s *Speaker, old *rawPeer, local, peer netip.Addr) {
	t.Helper()
	s = startSpeaker(t, 64512, "10.0.0.1")
	local, peer = addRaw(t, s, "b", 64513, nil)
	old = dialWhenActive(t, s, "b", peer, local)
	old.establish(64513, "10.0.0.2")
	waitState(t, s, "b", stateEstablished)
	old.serve()
	old.update(64513, prefixes("10.2.0.0/16"), nil)
	waitRoutes(t, s, "b", "10.2.0.0/16")
	return s, old, local, peer
}

// TestNoTakeover: whoever connects from the peer's address does not end a session that is alive, whatever it sends.
func TestNoTakeover(t *testing.T) {
	s, old, local, peer := establishedRaw(t)
	since := statusOf(s, "b").Since
	open := func(asn uint32, id string, hold uint16) []byte {
		m := openMessage(t, asn, id)
		m.Body.(*gobgp.BGPOpen).HoldTime = hold
		b, err := m.Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		what          string
		sent          []byte
		code, subcode uint8 // 0: it is closed without a word
	}{
		{"closed without a word", nil, 0, 0},
		{"no BGP at all", []byte("GET / HTTP/1.1\r\nHost: tunnel\r\n\r\n"), gobgp.BGP_ERROR_MESSAGE_HEADER_ERROR, 1},
		{"43 octets, of which the 19th is 1", append(make([]byte, 18), append([]byte{1}, make([]byte, 24)...)...), gobgp.BGP_ERROR_MESSAGE_HEADER_ERROR, 1},
		{"an OPEN of garbage", message(gobgp.BGP_MSG_OPEN, 43, make([]byte, 24)), gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR, 1},
		{"an OPEN with bad parameters", message(gobgp.BGP_MSG_OPEN, 32, []byte{4, 252, 1, 0, 90, 10, 0, 0, 2, 3, 2, 200, 1}), gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR, 0},
		{"a KEEPALIVE", message(gobgp.BGP_MSG_KEEPALIVE, 19, nil), gobgp.BGP_ERROR_FSM_ERROR, 1},
		{"another AS", open(64666, "10.0.0.2", 90), gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR, gobgp.BGP_ERROR_SUB_BAD_PEER_AS},
		{"no router ID", open(64513, "0.0.0.0", 90), gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR, gobgp.BGP_ERROR_SUB_BAD_BGP_IDENTIFIER},
		{"this router's ID", open(64513, "10.0.0.1", 90), gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR, gobgp.BGP_ERROR_SUB_BAD_BGP_IDENTIFIER},
		{"another router ID", open(64513, "10.0.0.3", 90), gobgp.BGP_ERROR_CEASE, gobgp.BGP_ERROR_SUB_CONNECTION_COLLISION_RESOLUTION},
		{"a hold time of 1 s", open(64513, "10.0.0.2", 1), gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR, gobgp.BGP_ERROR_SUB_UNACCEPTABLE_HOLD_TIME},
		{"the peer's own OPEN", open(64513, "10.0.0.2", 90), gobgp.BGP_ERROR_CEASE, gobgp.BGP_ERROR_SUB_CONNECTION_COLLISION_RESOLUTION},
	} {
		p := dialRaw(t, peer, local)
		if p.write(c.sent); c.sent == nil {
			p.conn.Close()
			continue
		}
		m := p.read()
		if m == nil {
			t.Errorf("%s: closed without a word", c.what)
			continue
		}
		if n, ok := m.Body.(*gobgp.BGPNotification); !ok || n.ErrorCode != c.code || n.ErrorSubcode != c.subcode {
			t.Errorf("%s: got %+v, not NOTIFICATION %d/%d", c.what, m.Body, c.code, c.subcode)
		}
		if m := p.read(); m != nil {
			t.Errorf("%s: got %+v behind the NOTIFICATION", c.what, m)
		}
	}
	if st := statusOf(s, "b"); st.State != stateEstablished || !st.Since.Equal(since) {
		t.Errorf("the session was disturbed: %+v", st)
	}
	old.update(64513, prefixes("10.3.0.0/16"), nil)
	waitRoutes(t, s, "b", "10.2.0.0/16", "10.3.0.0/16")
}

// TestTakeover has a peer open a session while another one is up here on which it does not answer any more.
func TestTakeover(t *testing.T) {
	s, old, local, peer := establishedRaw(t)
	since := statusOf(s, "b").Since
	old.vanish()
	p := takeOver(t, peer, local, openMessage(t, 64513, "10.0.0.2", extendedNextHop))
	waitState(t, s, "b", "established")
	if st := statusOf(s, "b"); st.Since.Equal(since) {
		t.Errorf("it is the old session: %+v", st)
	}
	waitRoutes(t, s, "")
	p.update(64513, prefixes("10.3.0.0/16"), nil)
	waitRoutes(t, s, "b", "10.3.0.0/16")
}

// TestCrossedConnections: a connection that the peer made before it had the session is refused as any other one is, and the log does not
// take it for somebody's who wants the session.
func TestCrossedConnections(t *testing.T) {
	var book logBook
	s := startSpeaker(t, 64512, "10.0.0.1", book.use)
	local, peer := addRaw(t, s, "b", 64513, func(n *Neighbor) { n.RTT = 10 * time.Second }) // there is time, on a busy machine too
	first := dialWhenActive(t, s, "b", peer, local)
	waitState(t, s, "b", stateOpenSent)
	crossed := dialRaw(t, peer, local)
	first.establish(64513, "10.0.0.2")
	waitState(t, s, "b", stateEstablished)
	first.serve()
	refused := func(p *rawPeer, id string) (logged bool) {
		t.Helper()
		p.send(openMessage(t, 64513, id))
		wantNotification(t, p, gobgp.BGP_ERROR_CEASE, gobgp.BGP_ERROR_SUB_CONNECTION_COLLISION_RESOLUTION)
		return strings.Contains(book.String(), "another program or user of its router may have made it")
	}
	if refused(crossed, "10.0.0.2") {
		t.Errorf("the operator is told of a collision:\n%s", &book)
	}
	if !refused(dialRaw(t, peer, local), "10.0.0.3") {
		t.Error("the operator is not told of another router")
	}
	s.mu.Lock()
	conn := s.neighbors["b"].session.conn
	s.mu.Unlock()
	id := netip.MustParseAddr("10.0.0.2")
	for came, want := range map[time.Duration]bool{-time.Second: true, 0: true, crossTime - 1: true, crossTime: false, time.Hour: false} {
		if got := conn.crossed(id, conn.up.Add(came), crossTime); got != want {
			t.Errorf("the peer's own connection, %v after the session: %v", came, got)
		}
	}
	if new(peerConn).crossed(id, time.Time{}, crossTime) {
		t.Error("a connection crosses with one that has no session")
	}
}

// TestReplacedBy decides between two connections.
func TestReplacedBy(t *testing.T) {
	ours, theirs := &peerConn{dialed: true}, &peerConn{}
	for _, tt := range []struct {
		conn     *peerConn
		higherID bool
		want     bool
	}{
		{ours, true, true},
		{ours, false, false},
		{theirs, true, true},
		{theirs, false, true},
	} {
		have := session{state: stateOpenSent, conn: tt.conn}
		if got := have.replacedBy(tt.higherID); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

// TestNoReplacementBeforeTheSession: what cannot become the session does not end a connection that waits for it either.
func TestNoReplacementBeforeTheSession(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	local, peer := addRaw(t, s, "b", 64513, nil)
	first := dialWhenActive(t, s, "b", peer, local)
	waitState(t, s, "b", stateOpenSent)
	other := dialRaw(t, peer, local)
	other.send(openMessage(t, 64666, "10.0.0.9"))
	wantNotification(t, other, gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR, gobgp.BGP_ERROR_SUB_BAD_PEER_AS)
	first.establish(64513, "10.0.0.2")
	waitState(t, s, "b", stateEstablished)
}

// TestManySilentConnections: those that say nothing do not keep the peer's own from being taken.
func TestManySilentConnections(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	local, peer := addRaw(t, s, "b", 64513, nil)
	waitState(t, s, "b", stateActive)
	for range 3 * mostArriving {
		dialRaw(t, peer, local)
	}
	eventually(t, time.Minute, func() string {
		p := dialRaw(t, peer, local)
		if wrong := p.handshake(openMessage(t, 64513, "10.0.0.2", extendedNextHop)); wrong != "" {
			p.conn.Close()
			return wrong
		}
		p.serve()
		return ""
	})
	waitState(t, s, "b", stateEstablished)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.neighbors["b"]; len(n.arriving) > mostArriving {
		t.Errorf("%d connections wait", len(n.arriving))
	}
}
