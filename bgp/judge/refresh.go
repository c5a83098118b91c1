package judge

import (
	"encoding/binary"
	"fmt"
)

// A ROUTE-REFRESH has 23 octets, and has a speaker put together all routes of a family and queue them
// for the peer, however much the peer has not read yet. So one of a family is handed on at a time, and
// those that come until Refreshed is called are one more.

// A refreshing is what there is of ROUTE-REFRESHes of a family.
type refreshing struct {
	handed bool // one was handed on, and Refreshed was not called since
	again  bool // another one has come since
}

// Refreshing reports for each family whether a ROUTE-REFRESH was handed on, and Refreshed was not called
// since.
func (s *Session) Refreshing() (families [2]bool) {
	for f := range families {
		families[f] = s.refreshes[f].handed
	}
	return families
}

// Refreshed says that the speaker has sent the routes of a family that it was asked for last, and appends
// to dst the ROUTE-REFRESH that has come meanwhile, if any.
func (s *Session) Refreshed(dst []byte, f int) []byte {
	again := s.refreshes[f].again
	s.refreshes[f] = refreshing{}
	if !again || s.state != established {
		return dst
	}
	return s.handRefresh(dst, f)
}

// handRefresh appends a ROUTE-REFRESH, or remembers it.
func (s *Session) handRefresh(dst []byte, f int) []byte {
	r := &s.refreshes[f]
	if r.handed {
		r.again = true
		return dst
	}
	r.handed = true
	return append(appendHeader(dst, typeRefresh, 4), 0, byte(f+1), 0, safiUnicast)
}

// refresh judges a ROUTE-REFRESH (RFC 2918 section 3). Only requests for a
// negotiated family are handed on. The markers of RFC 7313 (subtypes 1 and 2)
// are for speakers that have offered enhanced route refresh, which GoBGP has
// not and would take for requests; longer messages (RFC 5291) are not
// negotiated either. GoBGP answers no peer whose OPEN does not have the
// capability, and would log each message.
func (s *Session) refresh(dst, msg []byte) []byte {
	body := msg[headerLen:]
	if len(body) < 4 {
		s.noteDiscard(0, "ROUTE-REFRESH of length %d (RFC 2918 section 3)", len(msg))
		return dst
	}
	afi, subtype, safi := binary.BigEndian.Uint16(body), body[2], body[3]
	if len(body) > 4 && s.peer.enhancedRefresh && (subtype == 1 || subtype == 2) {
		s.fail(&Notification{ // RFC 7313 section 5
			Code: errRefresh, Subcode: 1, Data: append([]byte(nil), msg...),
			Text: fmt.Sprintf("the peer sent a ROUTE-REFRESH of length %d (RFC 7313 section 5)", len(msg)),
		})
		return dst
	}
	f, ok := familyOf(afi, safi)
	switch {
	case len(body) > 4:
		s.noteDiscard(0, "ROUTE-REFRESH of length %d (RFC 2918 section 3)", len(msg))
	case subtype != 0:
		s.noteDiscard(0, "ROUTE-REFRESH of subtype %d, which is not negotiated (RFC 7313 section 3.2)", int(subtype))
	case !ok || !s.negotiated(f):
		s.noteDiscard(0, "ROUTE-REFRESH for AFI %d SAFI %d, which is not negotiated (RFC 2918 section 4)", int(afi), int(safi))
	case !s.peer.Refresh:
		s.noteDiscard(0, "ROUTE-REFRESH without the capability in the peer's OPEN (RFC 2918 section 2)")
	default:
		return s.handRefresh(dst, f)
	}
	return dst
}
