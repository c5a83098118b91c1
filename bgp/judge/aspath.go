package judge

import "encoding/binary"

// Types of path segments, RFC 4271 section 4.3 and RFC 5065 section 3.
const (
	asSet          = 1
	asSequence     = 2
	confedSequence = 3
	confedSet      = 4
)

// maxSegment is the length of the longest segment that is handed on. A segment
// has room for 255, and a speaker that prepends to a full one has to begin
// another, which implementations have got wrong.
const maxSegment = 128

// An asPath is an AS_PATH or AS4_PATH whose neighboring AS_SEQUENCEs are one.
type asPath struct {
	as       []uint32 // of all segments
	segments []segment
}

type segment struct {
	typ uint8
	n   int // AS numbers, 1 or more
}

func (p *asPath) reset() { p.as, p.segments = p.as[:0], p.segments[:0] }

// add adds a segment with the numbers that were appended to p.as for it.
func (p *asPath) add(typ uint8, n int) {
	if last := len(p.segments) - 1; typ == asSequence && last >= 0 && p.segments[last].typ == asSequence {
		p.segments[last].n += n
		return
	}
	p.segments = append(p.segments, segment{typ, n})
}

// parse sets p from an attribute with AS numbers of width octets. It returns
// what is wrong, or "" (RFC 7606 section 7.2). Confederation segments are wrong
// from any peer, since this router is in no confederation (RFC 5065 section 5);
// skipConfed leaves them out instead (RFC 6793 section 6).
func (p *asPath) parse(b []byte, width int, skipConfed bool) string {
	p.reset()
	for len(b) > 0 {
		if len(b) < 2 {
			return "ends within a segment (RFC 7606 section 7.2)"
		}
		typ, n := b[0], int(b[1])
		skip := skipConfed && (typ == confedSequence || typ == confedSet)
		switch {
		case typ == asSet || typ == asSequence || skip:
		case typ == confedSequence || typ == confedSet:
			return "has a confederation segment (RFC 5065 section 5)"
		default:
			return "has a segment of unknown type (RFC 7606 section 7.2)"
		}
		if n == 0 {
			return "has an empty segment (RFC 7606 section 7.2)"
		}
		if b = b[2:]; len(b) < n*width {
			return "has a segment longer than itself (RFC 7606 section 7.2)"
		}
		if !skip {
			for i := range n {
				as := uint32(binary.BigEndian.Uint16(b[i*width:]))
				if width == 4 {
					as = binary.BigEndian.Uint32(b[i*width:])
				}
				if as == 0 {
					return "has AS 0 (RFC 7607 section 2)"
				}
				p.as = append(p.as, as)
			}
			p.add(typ, n)
		}
		b = b[n*width:]
	}
	return ""
}

// length counts as RFC 4271 section 9.1.2.2: a set is one.
func (p *asPath) length() int {
	total := 0
	for _, s := range p.segments {
		if s.typ == asSequence {
			total += s.n
		} else {
			total++
		}
	}
	return total
}

// count returns how often as is in the path.
func (p *asPath) count(as uint32) int {
	times := 0
	for _, x := range p.as {
		if x == as {
			times++
		}
	}
	return times
}

// wide reports whether an AS number does not fit into two octets.
func wide(as []uint32) bool {
	for _, x := range as {
		if x >= 1<<16 {
			return true
		}
	}
	return false
}

// merge sets p to what path and four, its AS4_PATH, say together: what is more
// in path, followed by four (RFC 6793 section 4.2.3). It returns false if four
// is longer and has to be ignored.
func (p *asPath) merge(path, four *asPath) bool {
	excess := path.length() - four.length()
	if excess < 0 {
		return false
	}
	p.reset()
	as := path.as
	for _, s := range path.segments {
		if excess == 0 {
			break
		}
		n := s.n
		if s.typ == asSequence {
			n = min(n, excess)
			excess -= n
		} else {
			excess--
		}
		p.as = append(p.as, as[:n]...)
		p.add(s.typ, n)
		as = as[s.n:]
	}
	p.as = append(p.as, four.as...)
	for _, s := range four.segments {
		p.add(s.typ, s.n)
	}
	return true
}

// tail returns the path from its first AS_SEQUENCE on, as AS4_PATH has it: see
// appendAS4Path.
func (p *asPath) tail() asPath {
	as := p.as
	for i, s := range p.segments {
		if s.typ == asSequence {
			return asPath{as, p.segments[i:]}
		}
		as = as[s.n:]
	}
	return asPath{}
}

// pieces is the number of segments that appendTo makes.
func (p *asPath) pieces() int {
	total := 0
	for _, s := range p.segments {
		total++
		if s.typ == asSequence {
			total += (s.n - 1) / maxSegment
		}
	}
	return total
}

// appendTo appends the attribute's value, with AS_TRANS for what does not fit
// into width octets (RFC 6793 section 4.2.2). Sets stay as they are.
func (p *asPath) appendTo(dst []byte, width int) []byte {
	as := p.as
	for _, s := range p.segments {
		for left := s.n; left > 0; {
			n := left
			if s.typ == asSequence {
				n = min(n, maxSegment)
			}
			dst = append(dst, s.typ, byte(n))
			for _, x := range as[:n] {
				switch {
				case width == 4:
					dst = binary.BigEndian.AppendUint32(dst, x)
				case x < 1<<16:
					dst = binary.BigEndian.AppendUint16(dst, uint16(x))
				default:
					dst = binary.BigEndian.AppendUint16(dst, asTrans)
				}
			}
			as, left = as[n:], left-n
		}
	}
	return dst
}
