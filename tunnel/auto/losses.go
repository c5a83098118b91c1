package auto

import (
	"slices"
	"time"
)

// losses is what the peer has reported lately of what this end sends. It is not safe for concurrent use.
type losses struct {
	keep    time.Duration // for how long
	reports []report      // in the order of time
}

// report is how many packets this end has sent, and the peer got, until a moment.
type report struct {
	at        time.Time
	sent, got uint64
}

func (l *losses) reset() { l.reports = l.reports[:0] }

// add takes a report. Numbers that run back are those of a peer that has begun again.
func (l *losses) add(r report) {
	if n := len(l.reports); n > 0 && (r.sent < l.reports[n-1].sent || r.got < l.reports[n-1].got) {
		l.reset()
	}
	old := 0
	for old < len(l.reports) && r.at.Sub(l.reports[old].at) > l.keep {
		old++
	}
	l.reports = append(slices.Delete(l.reports, 0, old), r)
}

// within returns the reports of the time before now, with the last one before that.
func (l *losses) within(now time.Time, during time.Duration) []report {
	from := now.Add(-during)
	first := 0
	for first+1 < len(l.reports) && !l.reports[first+1].at.After(from) {
		first++
	}
	return l.reports[first:]
}

// between returns how many packets were sent between two reports, and how many of them got lost.
func between(a, b report) (sent, lost uint64) {
	sent, got := b.sent-a.sent, b.got-a.got
	return sent, sent - min(got, sent)
}

// rate returns which part of the packets of the time before now got lost, 0 to 1, and how many were sent.
func (l *losses) rate(now time.Time, during time.Duration) (rate float64, sent uint64) {
	r := l.within(now, during)
	if len(r) < 2 {
		return 0, 0
	}
	sent, lost := between(r[0], r[len(r)-1])
	if sent == 0 {
		return 0, 0
	}
	return float64(lost) / float64(sent), sent
}

// lasting reports whether, in the time before now, too many packets got lost, most of that time.
func (l *losses) lasting(now time.Time, during time.Duration) (rate float64, lossy bool) {
	rate, sent := l.rate(now, during)
	if sent < lossyOf || rate < lossyAt {
		return rate, false
	}
	r := l.within(now, during)
	counts, bad := 0, 0
	for i := range r[1:] {
		sent, lost := between(r[i], r[i+1])
		if sent < lossyEach {
			continue
		}
		counts++
		if float64(lost) >= lossyAt*float64(sent) {
			bad++
		}
	}
	return rate, counts >= lossyTicks/2 && 2*bad >= counts && r[len(r)-1].at.Sub(r[0].at) >= during/2
}
