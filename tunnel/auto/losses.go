package auto

import (
	"slices"
	"time"
)

// losses is what the peer has reported lately of what this end sends. It is not safe for concurrent use.
type losses struct {
	keep    time.Duration // for how long
	gap     time.Duration // between two reports, with which they begin again
	least   time.Duration // of any three in a row the first and the last are that far apart
	reports []report      // in the order of time
	since   time.Time     // there are reports without such a gap
}

// report is how many packets this end has sent, and the peer got, until a moment, and how many bytes this end has sent by
// either transport.
type report struct {
	at        time.Time
	sent, got uint64
	bytes     uint64
}

func (l *losses) reset() { l.reports = l.reports[:0] }

// add takes a report. Numbers that run back are those of a peer that has begun again. A peer may send any number of reports, and
// each decision looks at all that are kept: of those that come too fast the last counts.
func (l *losses) add(r report) {
	if n := len(l.reports); n > 0 && (r.sent < l.reports[n-1].sent || r.got < l.reports[n-1].got) {
		l.reset()
	}
	if n := len(l.reports); n == 0 || r.at.Sub(l.reports[n-1].at) >= l.gap {
		l.since = r.at
	}
	old := 0
	for old < len(l.reports) && r.at.Sub(l.reports[old].at) > l.keep {
		old++
	}
	l.reports = slices.Delete(l.reports, 0, old)
	if n := len(l.reports); n > 1 && r.at.Sub(l.reports[n-2].at) < l.least {
		l.reports = l.reports[:n-1]
	}
	l.reports = append(l.reports, r)
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
	return rateOf(l.within(now, during))
}

// halves returns the same for the two halves of that time.
func (l *losses) halves(now time.Time, during time.Duration) (early, late float64) {
	all, second := l.within(now, during), l.within(now, during/2)
	early, _ = rateOf(all[:len(all)-max(0, len(second)-1)])
	late, _ = rateOf(second)
	return early, late
}

func rateOf(r []report) (rate float64, sent uint64) {
	if len(r) < 2 {
		return 0, 0
	}
	sent, lost := between(r[0], r[len(r)-1])
	if sent == 0 {
		return 0, 0
	}
	return float64(lost) / float64(sent), sent
}

// load returns what this end sent in the time before now by either transport, in bytes a second, and how many bytes that were for each
// packet over WireGuard. 0: not known.
func (l *losses) load(now time.Time, during time.Duration) (rate, size float64) {
	r := l.within(now, during)
	if len(r) < 2 {
		return 0, 0
	}
	first, last := r[0], r[len(r)-1]
	took := last.at.Sub(first.at)
	if took < during/2 || last.bytes < first.bytes {
		return 0, 0
	}
	bytes := float64(last.bytes - first.bytes)
	return bytes / took.Seconds(), bytes / float64(max(1, last.sent-first.sent))
}

// lasting reports whether, in the time before now, at least this part of the packets got lost, most of that time.
func (l *losses) lasting(now time.Time, during time.Duration, at float64) (rate float64, lossy bool) {
	rate, sent := l.rate(now, during)
	if sent < lossyOf || rate < at {
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
		if float64(lost) >= at*float64(sent) {
			bad++
		}
	}
	return rate, counts >= lossyTicks/2 && 2*bad >= counts && r[len(r)-1].at.Sub(r[0].at) >= during/2
}
