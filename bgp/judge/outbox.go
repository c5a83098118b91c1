package judge

import "encoding/binary"

// An outbox collects what is to be handed on, until flush writes it.
type outbox struct {
	withdrawals   [2][]prefix
	announcements []announcement
	forgotten     [2][]prefix // withdrawn, and were not handed on
}

type announcement struct {
	prefix prefix
	attrs  attrID
	family int
}

// withdrawOne withdraws p, whose entry is e and was accepted.
func (s *Session) withdrawOne(f int, p prefix, e entry) {
	o := &s.out
	if s.cfg.Choose && !e.handed() {
		o.forgotten[f] = append(o.forgotten[f], p)
		return
	}
	o.withdrawals[f] = append(o.withdrawals[f], p)
}

func (o *outbox) announce(f int, p prefix, id attrID) {
	o.announcements = append(o.announcements, announcement{p, id, f})
}

// keepOutbox is the number of items that room is kept for.
const keepOutbox = 4096

// flush appends UPDATEs of what is in s.out and empties it: withdrawals first,
// one family and one set of attributes in each. With Config.Choose what is announced is
// only told.
func (s *Session) flush(dst []byte) []byte {
	o := &s.out
	s.tellMoved()
	for f := range o.withdrawals {
		dst = o.flushWithdrawals(dst, f)
		emptied(&o.forgotten[f])
	}
	if s.cfg.Choose {
		emptied(&o.announcements)
		return dst
	}
	return s.flushAnnouncements(dst)
}

func (o *outbox) flushWithdrawals(dst []byte, f int) []byte {
	for w := o.withdrawals[f]; len(w) > 0; {
		dst, w = appendWithdrawals(dst, f, w)
	}
	emptied(&o.withdrawals[f])
	return dst
}

func (s *Session) flushAnnouncements(dst []byte) []byte {
	o := &s.out
	for a := o.announcements; len(a) > 0; {
		n := 1
		for n < len(a) && a[n].family == a[0].family && a[n].attrs == a[0].attrs {
			n++
		}
		dst = appendAnnouncements(dst, a[:n], s.preferred(s.attrs.blob(a[0].attrs)))
		a = a[n:]
	}
	emptied(&o.announcements)
	return dst
}

// emptied empties a list and keeps its memory for the next items if that is not much.
func emptied[T any](list *[]T) {
	if *list = (*list)[:0]; cap(*list) > keepOutbox {
		*list = nil
	}
}

// tellMoved calls Config.Moved with what is in s.out.
func (s *Session) tellMoved() {
	if s.cfg.Moved == nil {
		return
	}
	for _, gone := range [...]*[2][]prefix{&s.out.withdrawals, &s.out.forgotten} {
		for f, w := range gone {
			for _, p := range w {
				s.cfg.Moved(p.netip(f), false)
			}
		}
	}
	for _, a := range s.out.announcements {
		s.cfg.Moved(a.prefix.netip(a.family), true)
	}
}

// mpHeader is the length of an attribute's header with the extended length,
// which MP_REACH_NLRI and MP_UNREACH_NLRI always have.
const mpHeader = 4

// appendWithdrawals appends one UPDATE with the first of the prefixes, and
// returns the others.
func appendWithdrawals(dst []byte, f int, w []prefix) ([]byte, []prefix) {
	start := len(dst)
	dst = appendHeader(dst, typeUpdate, 0)
	dst = append(dst, 0, 0)
	field := len(dst) // where the length counts from
	room := maxMessage - headerLen - 2 - 2
	if f == IPv6 {
		dst = append(dst, 0, 0, flagOptional|flagExtended, attrMPUnreach, 0, 0)
		dst = append(dst, 0, afiIPv6, safiUnicast)
		room = maxMessage - (len(dst) - start)
	}
	body := len(dst)
	for len(w) > 0 && len(dst)-body+w[0].size() <= room {
		dst = w[0].appendTo(dst)
		w = w[1:]
	}
	if f == IPv4 {
		binary.BigEndian.PutUint16(dst[field-2:], uint16(len(dst)-field))
		dst = append(dst, 0, 0)
	} else {
		binary.BigEndian.PutUint16(dst[field:], uint16(len(dst)-field-2))
		binary.BigEndian.PutUint16(dst[field+2+2:], uint16(len(dst)-field-2-mpHeader))
	}
	binary.BigEndian.PutUint16(dst[start+16:], uint16(len(dst)-start))
	return dst, w
}

// appendAnnouncements appends UPDATEs with prefixes of one family that have the
// attributes in blob.
func appendAnnouncements(dst []byte, a []announcement, blob string) []byte {
	for len(a) > 0 {
		start := len(dst)
		dst = appendHeader(dst, typeUpdate, 0)
		dst = append(dst, 0, 0, 0, 0)
		attrs := len(dst)
		if blob[0] == formNextHop {
			dst = append(dst, blob[1:]...)
			binary.BigEndian.PutUint16(dst[attrs-2:], uint16(len(dst)-attrs))
			dst, a = appendPrefixes(dst, a, maxMessage-(len(dst)-start))
		} else {
			hop, head := blob[1:17], int(blob[17])<<8|int(blob[18])
			before, behind := blob[reachPrefix:reachPrefix+head], blob[reachPrefix+head:]
			dst = append(dst, before...)
			dst = append(dst, flagOptional|flagExtended, attrMPReach, 0, 0)
			value := len(dst)
			dst = append(dst, 0, byte(a[0].family+1), safiUnicast, 16)
			dst = append(append(dst, hop...), 0)
			dst, a = appendPrefixes(dst, a, maxMessage-(len(dst)-start)-len(behind))
			binary.BigEndian.PutUint16(dst[value-2:], uint16(len(dst)-value))
			dst = append(dst, behind...)
			binary.BigEndian.PutUint16(dst[attrs-2:], uint16(len(dst)-attrs))
		}
		binary.BigEndian.PutUint16(dst[start+16:], uint16(len(dst)-start))
	}
	return dst
}

// appendPrefixes appends as many prefixes as fit into room octets, and returns
// the others.
func appendPrefixes(dst []byte, a []announcement, room int) ([]byte, []announcement) {
	for len(a) > 0 {
		n := a[0].prefix.size()
		if n > room {
			break
		}
		room -= n
		dst = a[0].prefix.appendTo(dst)
		a = a[1:]
	}
	return dst, a
}

// appendEndOfRIB appends the End-of-RIB marker of a family (RFC 4724 section 2).
func appendEndOfRIB(dst []byte, f int) []byte {
	if f == IPv4 {
		return append(appendHeader(dst, typeUpdate, 4), 0, 0, 0, 0)
	}
	dst = append(appendHeader(dst, typeUpdate, 4+mpHeader+3), 0, 0, 0, mpHeader+3)
	return append(dst, flagOptional|flagExtended, attrMPUnreach, 0, 3, 0, afiIPv6, safiUnicast)
}
