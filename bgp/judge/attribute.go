package judge

import (
	"encoding/binary"
	"fmt"
)

// usedTypes bounds the types of attributes that are looked at.
const usedTypes = attrOTC + 1

// An attribute of the message in work, by offsets into its attributes.
type attribute struct {
	start, value, end uint16
	flags             uint8
}

// A fault is why the routes of an UPDATE are withdrawn.
type fault struct {
	attr    uint8 // 0: none in particular
	subcode uint8 // of the NOTIFICATION where withdrawing will not do
	why     string
	args    [2]int
	loop    Loop // the routes have been here before; nothing is malformed
}

func (f *fault) is() bool { return f.why != "" }

// attributes are the path attributes of an UPDATE, not yet looked into.
type attributes struct {
	raw    []byte
	seen   [4]uint64 // by type
	usable uint64    // by type below usedTypes: in list, to be looked into
	list   [usedTypes]attribute

	fixed  bool  // something was put right
	repair note  // what, if no discard told it
	fault  fault // the first one found
}

func (a *attributes) has(typ uint8) bool { return a.usable&(1<<typ) != 0 }

// drop takes an attribute out.
func (a *attributes) drop(typ uint8) { a.usable &^= 1 << typ }

// value returns what an attribute holds. It must be there.
func (a *attributes) value(typ uint8) []byte {
	x := &a.list[typ]
	return a.raw[x.value:x.end]
}

// whole returns an attribute with its header for a NOTIFICATION, or nil.
func (a *attributes) whole(typ uint8) []byte {
	if typ == 0 || typ >= usedTypes || !a.has(typ) {
		return nil
	}
	x := &a.list[typ]
	return append([]byte(nil), a.raw[x.start:x.end]...)
}

// fail notes a fault unless there is one.
func (a *attributes) fail(typ, subcode uint8, why string, args ...int) {
	if a.fault.is() {
		return
	}
	a.fault = fault{attr: typ, subcode: subcode, why: why}
	copy(a.fault.args[:], args)
}

// fix notes something that was put right.
func (a *attributes) fix(typ uint8, why string) {
	a.fixed = true
	if a.repair.kind == nothing {
		a.repair = note{kind: repaired, attr: typ, why: why}
	}
}

// parseAttributes finds the attributes in raw. The NOTIFICATION is for what no other way
// is allowed of.
func (s *Session) parseAttributes(a *attributes, raw []byte) *Notification {
	a.raw, a.seen, a.usable = raw, [4]uint64{}, 0
	a.fixed, a.repair, a.fault = false, note{}, fault{}
	for at := 0; at < len(raw); {
		x, typ, ok := attributeAt(raw, at)
		if !ok {
			// RFC 7606 section 4: the NLRI are found by the total length all the same.
			a.fail(0, subLength, "an attribute goes past the end of all attributes (RFC 7606 section 4)")
			return nil
		}
		at = int(x.end)
		bit := uint64(1) << (typ % 64)
		if a.seen[typ/64]&bit != 0 { // RFC 7606 section 3 (g)
			if typ == attrMPReach || typ == attrMPUnreach {
				return &Notification{Code: errUpdate, Subcode: subAttrList, Text: "the peer sent an UPDATE with two " + attrName(typ) + " (RFC 7606 section 3)"}
			}
			s.noteDiscard(typ, "it is there a second time (RFC 7606 section 3)")
			a.fixed = true
			continue
		}
		a.seen[typ/64] |= bit
		if n := s.classify(a, x, typ); n != nil {
			return n
		}
	}
	return nil
}

// attributeAt reads the header of the attribute at an offset of raw. ok is false
// if it does not fit.
func attributeAt(raw []byte, at int) (x attribute, typ uint8, ok bool) {
	b := raw[at:]
	if len(b) < 3 {
		return attribute{}, 0, false
	}
	header, n := 3, int(b[2])
	if b[0]&flagExtended != 0 {
		if len(b) < 4 {
			return attribute{}, 0, false
		}
		header, n = 4, int(binary.BigEndian.Uint16(b[2:]))
	}
	if len(b) < header+n {
		return attribute{}, 0, false
	}
	return attribute{uint16(at), uint16(at + header), uint16(at + header + n), b[0]}, b[1], true
}

// classify keeps an attribute, or discards it for what it is. Its flags are checked
// before its value is (RFC 7606 section 3 (c)), but not if it is discarded
// whatever it says.
//
// Of the kinds that there is no use for nothing is known here but the name: they may be transitive or not,
// as those that are not known (RFC 4271 section 9). One that says that it is well-known is malformed, but for
// AIGP, which is discarded with wrong flags (RFC 7311 section 3).
func (s *Session) classify(a *attributes, x attribute, typ uint8) *Notification {
	kind := &attrKinds[typ]
	if kind.flags == 0 {
		if x.flags&flagOptional == 0 { // RFC 4271 section 6.3
			return &Notification{
				Code: errUpdate, Subcode: subUnknownWellKnown, Data: append([]byte(nil), a.raw[x.start:x.end]...),
				Text: fmt.Sprintf("the peer sent attribute %d as a well-known one, which it is not (RFC 4271 section 6.3)", typ),
			}
		}
		s.noteDiscard(typ, "it is not known here (RFC 4271 section 5)")
		return nil
	}
	if why := s.unwelcome(typ); why != "" {
		s.noteDiscard(typ, why)
		a.fixed = true
		return nil
	}
	wrong := x.flags&(flagOptional|flagTransitive) != kind.flags
	if !kind.use && (x.flags&flagOptional != 0 || typ == attrAIGP) {
		s.noteDiscard(typ, "there is no use for it here")
		a.fixed = a.fixed || wrong
		return nil
	}
	if typ < usedTypes {
		a.list[typ] = x
		a.usable |= 1 << typ
	}
	switch {
	case !wrong, typ == attrNextHop && len(s.update.nlri.prefixes) == 0: // see checkNextHop
	case typ == attrMPReach || typ == attrMPUnreach:
		// RFC 7606 section 5.3: their NLRI are not to be relied on.
		return a.notification(&fault{attr: typ, subcode: subFlags, why: "has the wrong flags (RFC 7606 section 5.3)"})
	default:
		a.fail(typ, subFlags, "has the wrong flags (RFC 7606 section 3)")
	}
	return nil
}

// unwelcome says why this peer's attributes of a type are discarded, or "".
func (s *Session) unwelcome(typ uint8) string {
	external := s.cfg.LocalASN != s.cfg.PeerASN
	switch {
	case typ == attrLocalPref && external:
		return "it is from another AS (RFC 7606 section 7.5)"
	case typ == attrOriginatorID && external:
		return "it is from another AS (RFC 7606 section 7.9)"
	case typ == attrClusterList && external:
		return "it is from another AS (RFC 7606 section 7.10)"
	case (typ == attrAS4Path || typ == attrAS4Aggregator) && s.asWidth() == 4:
		return "the peer sends 4-octet AS numbers (RFC 6793 section 6)"
	}
	return ""
}

// notification is what ends the session for a fault.
func (a *attributes) notification(f *fault) *Notification {
	text := explain(f.why, f.args)
	if f.attr != 0 {
		text = attrName(f.attr) + " " + text
	}
	return &Notification{Code: errUpdate, Subcode: f.subcode, Data: a.whole(f.attr), Text: "the peer sent a malformed UPDATE: " + text}
}
