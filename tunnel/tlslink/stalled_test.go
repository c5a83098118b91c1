package tlslink

import (
	"testing"
	"time"
)

// A lane is stalled from its last progress on, if what was sent is sent again and again.
func TestStalled(t *testing.T) {
	const s = time.Second
	type look struct {
		at    time.Duration
		acked uint64
		flow  flow
		want  time.Duration
	}
	sent := flow{repeats: 2, unacked: 100}
	for name, looks := range map[string][]look{
		"nothing is sent":               {{1 * s, 0, flow{}, 0}, {9 * s, 0, flow{}, 0}, {10 * s, 0, sent, 1 * s}},
		"nothing is acknowledged":       {{1 * s, 7, sent, 0}, {2 * s, 7, sent, 1 * s}, {5 * s, 7, sent, 4 * s}},
		"something is acknowledged":     {{1 * s, 7, sent, 0}, {2 * s, 8, sent, 0}, {5 * s, 8, sent, 3 * s}, {6 * s, 9, sent, 0}},
		"the segments are sent once":    {{1 * s, 7, flow{unacked: 9}, 0}, {5 * s, 7, flow{unacked: 9, repeats: 1}, 0}, {6 * s, 7, sent, 5 * s}},
		"the peer's window is closed":   {{1 * s, 7, flow{unacked: 9}, 0}, {60 * s, 7, flow{unacked: 9}, 0}},
		"all was acknowledged between":  {{1 * s, 7, sent, 0}, {2 * s, 7, flow{}, 0}, {3 * s, 7, sent, 1 * s}},
		"old data comes, with old acks": {{1 * s, 7, sent, 0}, {4 * s, 7, flow{repeats: 4, unacked: 100, lastAck: 0}, 3 * s}},
	} {
		var p progress
		for _, l := range looks {
			l.flow.acked = l.acked
			if got := p.stalled(l.at, l.flow); got != l.want {
				t.Errorf("%s: at %v: %v, want %v", name, l.at, got, l.want)
			}
		}
	}
}
