package speaker

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"warren/bgp"
	"warren/internal/speaker/wire"
)

// asked is a question that the process was or is to be asked. The last one counts.
type asked struct {
	number   uint32
	process  *process
	question bgp.Question
	answer   chan<- bgp.Explanation // capacity 1; nil: it was answered
}

// errNoProcess says that there is nobody to ask.
var errNoProcess = errors.New("the speaker starts again at this moment: ask once more")

// Explain asks the process about a prefix. It waits for the answer, and for those to questions that
// were asked before, as long as ctx lets it.
func (s *Speaker) Explain(ctx context.Context, q bgp.Question) (is bgp.Explanation, err error) {
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return is, ctx.Err()
	}
	answer := make(chan bgp.Explanation, 1)
	s.mu.Lock()
	p := s.process
	if p == nil {
		s.mu.Unlock()
		return is, errNoProcess
	}
	s.asked = asked{number: s.asked.number + 1, process: p, question: q, answer: answer}
	s.mu.Unlock()
	p.wake()
	select {
	case is = <-answer:
		return is, nil
	case <-p.ended.Done():
		return is, errNoProcess
	case <-ctx.Done():
		return is, ctx.Err()
	}
}

// takeExplained takes the process's answer.
func (p *process) takeExplained(m wire.Explained) error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.s.asked.answer == nil || m.Call != p.s.asked.number {
		return nil // another question has been asked since
	}
	if err := checkExplained(&m, p.s.asked.question); err != nil {
		return err
	}
	is := bgp.Explanation{Prefix: m.Prefix, Local: m.Local, Refused: m.Refused, More: m.More}
	for _, c := range m.Candidates {
		if o := p.s.table.owners[c.ID]; o != nil { // else it is not wanted any more
			c.Neighbor = o.neighbor.Name
			is.Candidates = append(is.Candidates, c.Candidate)
		}
	}
	for _, e := range m.Exports {
		if o := p.s.table.owners[e.ID]; o != nil {
			out := bgp.Export{Neighbor: o.neighbor.Name, Withheld: e.Withheld}
			if from := p.s.table.owners[e.From]; from != nil {
				out.From = from.neighbor.Name
			}
			is.Exports = append(is.Exports, out)
		}
	}
	p.s.asked.answer <- is
	p.s.asked.answer = nil
	return nil
}

var (
	verdicts = []bgp.Verdict{
		bgp.VerdictBest, bgp.VerdictReserve, bgp.VerdictFiltered, bgp.VerdictLimited, bgp.VerdictOwn, bgp.VerdictMartian,
		bgp.VerdictLooped, bgp.VerdictInvalid,
	}
	loops   = []bgp.Loop{"", bgp.LoopAS, bgp.LoopOriginator, bgp.LoopCluster}
	origins = []string{"", "igp", "egp", "incomplete"}
)

// checkExplained refuses what there is not in an answer, and makes what is text printable.
func checkExplained(m *wire.Explained, q bgp.Question) error {
	wrong := errors.New("an explanation that there is not")
	about := func(p netip.Prefix) bool {
		return p == p.Masked() && p.Contains(q.Of.Addr()) && p.Bits() <= q.Of.Bits()
	}
	switch {
	case m.Prefix.IsValid() && !about(m.Prefix), !q.Address && m.Prefix != q.Of,
		slices.ContainsFunc(m.Refused, func(p netip.Prefix) bool { return !about(p) }), len(m.Refused) > q.Of.Bits()+1:
		return wrong
	case m.More < 0, len(m.Candidates) > bgp.MaxCandidates:
		return wrong
	}
	for i := range m.Candidates {
		c := &m.Candidates[i].Candidate
		if !slices.Contains(verdicts, c.Verdict) || !slices.Contains(loops, c.Loop) || !slices.Contains(origins, c.Origin) ||
			c.Step != "" && !slices.Contains(bgp.Steps, c.Step) || c.Reason.Kind > bgp.ReasonReserved || len(c.Communities) > bgp.MaxCommunities {
			return wrong
		}
		c.NextHop = c.NextHop.WithZone("")
		c.Text, c.Path = plain(c.Text), plain(c.Path)
		for j := range c.Communities {
			c.Communities[j] = plain(c.Communities[j])
		}
	}
	for _, e := range m.Exports {
		if !slices.Contains(bgp.AllWithheld, e.Withheld) {
			return wrong
		}
	}
	return nil
}

// maxPlain bounds each text of an explanation, in bytes.
const maxPlain = 512

// plain bounds a text, and replaces what is not printable ASCII.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), maxPlain)]
}
