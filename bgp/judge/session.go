package judge

import (
	"net/netip"
	"time"
)

// Indices of what there is for each family.
const (
	IPv4 = 0
	IPv6 = 1
)

// Config is what a Session has to know of its two ends. It does not change
// during the session.
type Config struct {
	// LocalASN and PeerASN are the AS numbers of the two ends; if they are equal
	// the session is iBGP.
	LocalASN, PeerASN uint32
	// RouterID is the BGP identifier of this router, an IPv4 address.
	RouterID netip.Addr
	// ClusterID is this router's in route reflection (RFC 4456 section 7), an
	// IPv4 address; the invalid address stands for RouterID.
	ClusterID netip.Addr
	// AllowOwnAS is how often LocalASN may be in a path.
	AllowOwnAS int
	// AllowLoopback accepts next hops of the host's loopback interface. It is
	// for sessions between two such addresses.
	AllowLoopback bool
	// OnLink, if not nil, says which addresses are on the network of the session. A next
	// hop that is not is of no use (RFC 4271 section 6.3).
	OnLink func(netip.Addr) bool
	// Restarted and Forwarding are what this end's OPEN says of graceful restart,
	// where it says something of it: whether the router has restarted, and whether
	// it forwards packets as it did before the last session ended (RFC 4724 section 3,
	// the bits R and F).
	Restarted, Forwarding bool
	// Policy is what is accepted at the start.
	Policy Policy
	// Moved, if not nil, is called for each prefix that is handed on, with whatever
	// attributes, and for each that is withdrawn: withdrawals first.
	Moved func(p netip.Prefix, announced bool)
	// Choose leaves it to HandOn which of the prefixes that Moved names as announced are
	// handed on, and when. Accepted, Attributes and the counts do not depend on it.
	Choose bool
}

// Policy says which of a peer's prefixes are handed on.
type Policy struct {
	// Accept is the import filter. It has to be pure: the answer for a prefix
	// stays the same until the next SetPolicy. Nil accepts nothing.
	Accept func(netip.Prefix) bool
	// MaxPrefixes bounds how many prefixes of a family are handed on. 0: no limit.
	MaxPrefixes int
	// HardMaxPrefixes bounds how many prefixes of a family the peer may announce,
	// accepted or not; a peer that announces more loses the session. 0: no limit.
	HardMaxPrefixes int
	// Preference is added to the peer's LOCAL_PREF. Over eBGP it is in what Attributes
	// returns and not in what is handed on, of which a speaker ignores it.
	Preference uint32
	// Drained has all routes get the LOCAL_PREF DrainedPref instead, whatever the peer and Preference say. Over
	// eBGP it is where Preference is.
	Drained     bool
	DrainedPref uint32
}

// The states of a session, seen from this end (RFC 4271 section 8.2.2).
type state uint8

const (
	openSent    state = iota // the peer's OPEN is awaited
	openConfirm              // its KEEPALIVE is
	established
	closed // a NOTIFICATION went one way or the other
)

// Session judges the messages of one BGP session. It is not safe for concurrent
// use.
type Session struct {
	cfg   Config
	state state
	up    bool          // it was established
	err   *Notification // what ended the session, if this end did

	partial []byte // the start of a message from the peer, at most maxMessage long
	first   []byte // the start of the first message to the peer
	sent    bool   // the first message to the peer is complete

	peer     Open
	ours     Open
	counts   Counts
	last     note
	lastLoop note
	ended    [2]bool // by family: the End-of-RIB marker has come
	update   update
	tables   [2]table
	loops    [2]map[prefix]Loop // by family: what the peer announces and has been here before; nil: nothing
	invalid  [2]invalids        // by family: what it announces malformed; nil: nothing
	attrs    attrTable
	out      outbox
	markers  [2]bool // by family: with Choose, an End-of-RIB marker is to be handed on

	refreshes [2]refreshing // by family
}

// New returns a Session that has seen nothing yet.
func New(cfg Config) *Session {
	if !cfg.ClusterID.IsValid() {
		cfg.ClusterID = cfg.RouterID
	}
	return &Session{cfg: cfg, tables: [2]table{newTable(IPv4), newTable(IPv6)}, attrs: newAttrTable()}
}

// FromPeer takes the next bytes of the peer's stream, in any chunks, and
// appends to dst what is to be handed on: whole messages. The error, if any, is
// a *Notification: what was appended before it is still good, the Notification
// is to be sent to the peer and the connection to be closed. Further calls
// return the same error. Neither in nor dst is kept.
//
// A message that leaves nothing to be handed on still says that the peer lives.
// So where a call takes whole messages of an established session and would
// append nothing it appends a KEEPALIVE.
func (s *Session) FromPeer(dst, in []byte) ([]byte, error) {
	start := len(dst)
	took := false
	for s.state != closed {
		var msg []byte
		msg, in = s.nextMessage(in)
		if msg == nil {
			break
		}
		took = true
		dst = s.judge(dst, msg)
	}
	if s.err != nil {
		s.partial = nil
		return dst, s.err
	}
	if took && s.state == established && len(dst) == start {
		dst = appendHeader(dst, typeKeepalive, 0)
	}
	return dst, nil
}

// judge appends to dst what is to be handed on of the complete message msg,
// whose header is good. It sets s.err to end the session.
func (s *Session) judge(dst, msg []byte) []byte {
	typ, body := msg[headerLen-1], msg[headerLen:]
	switch {
	case typ == typeNotification:
		s.state = closed
		return append(dst, msg...)
	case typ == typeOpen && s.state == openSent:
		return s.peerOpen(dst, body)
	case typ == typeKeepalive && s.state == openConfirm:
		s.state, s.up = established, true
		return append(dst, msg...)
	case typ == typeKeepalive && s.state == established:
		return append(dst, msg...)
	case typ == typeUpdate && s.state == established && s.sent:
		return s.judgeUpdate(dst, body)
	case typ == typeRefresh && s.state == established && s.sent:
		return s.refresh(dst, msg)
	}
	s.fail(s.unexpected(typ))
	return dst
}

// unexpected is the NOTIFICATION for a message of a type that may not come in
// this state (RFC 6608 sections 3 and 4). Nothing but KEEPALIVE may come before
// this end's OPEN went out, since the peer cannot know yet what it may send.
func (s *Session) unexpected(typ uint8) *Notification {
	subcode := uint8(s.state) + 1
	if s.state == established && !s.sent {
		subcode = uint8(openConfirm) + 1
	}
	return &Notification{
		Code: errFSM, Subcode: subcode, Data: []byte{typ},
		Text: "the peer sent " + typeName(typ) + " when it must not (RFC 6608)",
	}
}

// fail ends the session.
func (s *Session) fail(n *Notification) { s.err, s.state = n, closed }

// ToPeer takes what is to be sent to the peer, in any chunks, and appends to dst
// what goes out: the OPEN rewritten, what comes after it unchanged, and nothing
// once a NOTIFICATION has come or FromPeer or SetPolicy has returned one (RFC
// 4271 section 6: none is answered). Neither in nor dst is kept.
func (s *Session) ToPeer(dst, in []byte) []byte {
	if s.state == closed {
		return dst
	}
	if s.sent {
		return append(dst, in...)
	}
	s.first = append(s.first, in...)
	if len(s.first) < headerLen {
		return dst
	}
	n := messageLen(s.first)
	if n >= headerLen && len(s.first) < n {
		return dst
	}
	s.sent = true
	first := s.first
	s.first = nil
	if n < headerLen || first[headerLen-1] != typeOpen {
		return append(dst, first...)
	}
	dst = s.ownOpen(dst, first[:n])
	return append(dst, first[n:]...)
}

// HoldTime returns the smaller of both ends', 3 s at least, or 0 if the session has none (RFC 4271 section 4.2).
func (s *Session) HoldTime() time.Duration {
	return time.Duration(min(s.ours.HoldTime, s.peer.HoldTime)) * time.Second
}

// Established reports whether the session was established; it may have ended since.
func (s *Session) Established() bool { return s.up }

// PeerOpen returns what the peer's OPEN says, and false if none has come yet.
func (s *Session) PeerOpen() (Open, bool) { return s.peer, s.peer.RouterID.IsValid() }
