package judge

import (
	"fmt"
	"net/netip"
	"strings"
)

// Counts is what a Session holds, and what was wrong with what it got.
type Counts struct {
	// Families counts distinct prefixes, by IPv4 and IPv6.
	Families [2]FamilyCounts
	// Repaired counts UPDATEs that broke a rule and were put right without any
	// of their routes being lost.
	Repaired uint64
	// Withdrawn counts prefixes that were treated as withdrawn because their
	// attributes are malformed, or too long to be passed on to other peers.
	Withdrawn uint64
	// Discarded counts attributes that were discarded, NLRI fields of families
	// that are not negotiated, malformed capabilities and ROUTE-REFRESHes.
	Discarded uint64
	// Last is the last such case in words: printable ASCII, at most 200 bytes.
	Last string
	// Looped counts prefixes that were dropped because they have been here before, which
	// is nobody's mistake.
	Looped uint64
}

// FamilyCounts counts the prefixes of one family that the peer announces now, and
// those of a lost connection that are kept.
type FamilyCounts struct {
	Received int // announced, and those that are stale
	Accepted int // handed on
	Refused  int // passed the filter, but over MaxPrefixes
	Stale    int // of those received, the ones not announced since the connection was lost
	Looped   int // of those received, the ones that have been here before
}

// maxNote bounds Counts.Last.
const maxNote = 200

// A note is one case of Counts.Last. It is put into words when they are asked
// for, so that a flood of cases costs little.
type note struct {
	kind   noteKind
	attr   uint8 // type of the attribute it is about, or 0
	prefix netip.Prefix
	more   int    // further prefixes
	why    string // may have verbs for args
	args   [2]int
}

type noteKind uint8

const (
	nothing noteKind = iota
	repaired
	withdrawn
	discarded
	looped
)

func (n *note) String() string {
	if n.kind == nothing {
		return ""
	}
	var b strings.Builder
	if n.prefix.IsValid() {
		b.WriteString(n.prefix.String())
		if n.more > 0 {
			fmt.Fprintf(&b, " and %d more", n.more)
		}
		if n.kind == withdrawn {
			b.WriteString(" treated as withdrawn")
		}
		b.WriteString(": ")
	}
	if n.attr != 0 {
		b.WriteString(attrName(n.attr) + " ")
	}
	if n.kind == discarded {
		b.WriteString("discarded: ")
	}
	b.WriteString(explain(n.why, n.args))
	return printable(b.String())
}

// explain fills in the verbs of why.
func explain(why string, args [2]int) string {
	switch strings.Count(why, "%d") {
	case 1:
		return fmt.Sprintf(why, args[0])
	case 2:
		return fmt.Sprintf(why, args[0], args[1])
	}
	return why
}

// printable bounds s and replaces what is not printable ASCII.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), maxNote)]
}

// noteDiscard counts something that was discarded; attr may be 0.
func (s *Session) noteDiscard(attr uint8, why string, args ...int) {
	s.counts.Discarded++
	s.last = note{kind: discarded, attr: attr, why: why}
	copy(s.last.args[:], args)
}

// noteWithdrawn counts n prefixes that are treated as withdrawn for f.
func (s *Session) noteWithdrawn(f fault, n int, first netip.Prefix) {
	s.counts.Withdrawn += uint64(n)
	s.last = note{kind: withdrawn, attr: f.attr, prefix: first, more: n - 1, why: f.why, args: f.args}
}

// Counts returns what the session holds now.
func (s *Session) Counts() Counts {
	c := s.counts
	for f := range s.tables {
		t := &s.tables[f]
		c.Families[f] = FamilyCounts{
			Received: t.len() + len(s.loops[f]), Accepted: t.accepted, Refused: t.refused, Stale: t.stale, Looped: len(s.loops[f]),
		}
	}
	c.Last = s.last.String()
	return c
}

// LastLooped is the last prefix that was dropped because it has been here before, in words as
// Counts.Last is.
func (s *Session) LastLooped() string { return s.lastLoop.String() }
