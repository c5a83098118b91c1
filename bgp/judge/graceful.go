package judge

import (
	"bytes"
	"encoding/binary"
	"time"
)

// Bits of the graceful restart capability, RFC 4724 section 3: of its first octet,
// and of the flags of a family.
const (
	gracefulRestarted  = 0x80 // R
	gracefulForwarding = 0x80 // F
	gracefulTime       = 0x0fff
)

// Graceful is what an OPEN says of graceful restart (RFC 4724 section 3). The zero
// Graceful is that of an OPEN without the capability.
type Graceful struct {
	Offered    bool          // the OPEN has the capability
	Restarted  bool          // the sender has restarted: it waits for End-of-RIB markers itself
	Time       time.Duration // how long it may take to come back, at most 4095 s
	Families   [2]bool       // its routes of the family are to be kept meanwhile
	Forwarding [2]bool       // it has gone on forwarding for the family
}

// Graceful returns what o says of graceful restart.
func (o *Open) Graceful() (g Graceful) {
	v := o.graceful
	if len(v) < 2 {
		return g
	}
	g.Offered, g.Restarted = true, v[0]&gracefulRestarted != 0
	g.Time = time.Duration(binary.BigEndian.Uint16(v)&gracefulTime) * time.Second
	for v = v[2:]; len(v) >= gracefulTupleLen; v = v[gracefulTupleLen:] {
		if f, ok := familyOf(binary.BigEndian.Uint16(v), v[2]); ok {
			g.Families[f], g.Forwarding[f] = true, v[3]&gracefulForwarding != 0
		}
	}
	return g
}

// ownGraceful returns the value of this end's graceful restart capability with the
// bits that Config says. Graceful restart after a NOTIFICATION (RFC 8538, the bit N)
// is never offered: see Retained.
func (s *Session) ownGraceful(v []byte) []byte {
	if len(v) < 2 || (len(v)-2)%gracefulTupleLen != 0 {
		return v
	}
	v = bytes.Clone(v)
	v[0] &= gracefulTime >> 8
	if s.cfg.Restarted {
		v[0] |= gracefulRestarted
	}
	for t := v[2:]; len(t) > 0; t = t[gracefulTupleLen:] {
		t[3] = 0
		if s.cfg.Forwarding {
			t[3] = gracefulForwarding
		}
	}
	return v
}

// Retained returns the families whose routes are to be kept if the connection is
// lost now, and for how long the peer asks that. There are none after a NOTIFICATION
// either way, which ends all (RFC 4724 section 4), and before the session is
// established.
func (s *Session) Retained() (families [2]bool, long time.Duration) {
	g := s.peer.Graceful()
	if s.state != established || g.Time == 0 {
		return families, 0
	}
	for f := range families {
		families[f] = g.Families[f] && s.negotiated(f)
	}
	return families, g.Time
}

// Awaited returns the families whose End-of-RIB markers a router waits for that has
// restarted (RFC 4724 section 4.1): all, if the peer has the graceful restart capability,
// with which it says that it sends them (section 3), and none if it has restarted itself.
func (s *Session) Awaited() (families [2]bool) {
	g := s.peer.Graceful()
	for f := range families {
		families[f] = g.Offered && !g.Restarted && s.negotiated(f)
	}
	return families
}

// EndOfRIB reports for each family whether its End-of-RIB marker has come.
func (s *Session) EndOfRIB() [2]bool { return s.ended }

// Negotiated reports for each family whether both ends have offered it.
func (s *Session) Negotiated() [2]bool { return [2]bool{s.negotiated(IPv4), s.negotiated(IPv6)} }
