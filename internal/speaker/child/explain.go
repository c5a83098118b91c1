package child

import "warren/internal/speaker/wire"

// ask takes a question. It is answered by the reporting goroutine, between two reports.
func (p *process) ask(a wire.Ask) {
	p.mu.Lock()
	p.pending.ask = &a
	p.mu.Unlock()
	p.wake()
}

// explain answers a question. What is of a neighbor that is not wanted any more is left out.
func (p *process) explain(a wire.Ask) wire.Explained {
	is := p.speaker.Explain(a.Question)
	numbers := *p.numbers.Load()
	out := wire.Explained{Call: a.Call, Prefix: is.Prefix, Local: is.Local, Refused: is.Refused, More: is.More}
	for _, c := range is.Candidates {
		if n, ok := numbers[c.Neighbor]; ok {
			c.Neighbor = ""
			out.Candidates = append(out.Candidates, wire.Candidate{ID: n.id, Candidate: c})
		}
	}
	for _, e := range is.Exports {
		if n, ok := numbers[e.Neighbor]; ok {
			out.Exports = append(out.Exports, wire.Export{ID: n.id, From: numbers[e.From].id, Withheld: e.Withheld})
		}
	}
	return out
}

// sendExplained answers. What the daemon would refuse, as it is too long, is sent in part.
func (p *process) sendExplained(is wire.Explained) error {
	b, err := fitting(is, wire.MaxFromSpeaker)
	if err == nil {
		_, err = p.messages.Write(b)
	}
	return err
}

// fitting is the frame of an answer, with the last candidates, then the last neighbors, left out
// until it has no more than most bytes.
func fitting(is wire.Explained, most int) (b []byte, err error) {
	for {
		b, err = wire.Append(nil, wire.KindExplained, is)
		if err != nil || len(b) <= most {
			return b, err
		}
		switch n, m := len(is.Candidates), len(is.Exports); {
		case n > 0:
			is.Candidates, is.More = is.Candidates[:n/2], is.More+n-n/2
		case m > 0:
			is.Exports = is.Exports[:m/2]
		default:
			return wire.Append(nil, wire.KindExplained, wire.Explained{Call: is.Call, Prefix: is.Prefix})
		}
	}
}
