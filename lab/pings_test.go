//go:build lab

package lab

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"warren/lab/topo"
)

// answered is what ping prints for an answer.
var answered = regexp.MustCompile(`(?m)^\d+ bytes from .*icmp_seq=(\d+) `)

// pings waits until the first COUNT echoes are answered, each of them. `ping -c` gives the last ones twice the longest round trip so
// far: what has to be sent again on the way comes later.
func pings(s *scenario, ts *testscript.TestScript, _ bool, args []string) error {
	if err := need(args, 3, "pings HOST COUNT [OPTION...] ADDRESS"); err != nil {
		return err
	}
	count, err := strconv.Atoi(args[1])
	if err != nil || count < 1 {
		return fmt.Errorf("pings: %q is no number of echoes", args[1])
	}
	h, err := s.host(args[0])
	if err != nil {
		return err
	}
	// A ping that waits for a processor loses what does not fit its socket's buffer, some 170 answers, which come all at once when
	// something had held them up. So it gets one first, where that is allowed.
	p, err := h.Start(append([]string{"nice", "-n", "-20", "ping", "-n"}, args[2:]...)...)
	if err != nil {
		return err
	}
	defer func() {
		p.Kill9()
		_ = p.Wait(context.Background()) // its end by the signal
	}()
	ctx, cancel := bounded()
	defer cancel()
	took, err := topo.Eventually(ctx, waitInterval, patience, func() error {
		log := p.Log()
		if missing := unanswered(log, count); missing != nil {
			if !p.Running() || s.died() != nil {
				cancel() // nothing comes of waiting any more
			}
			return fmt.Errorf("pings: no answer to %d of %d echoes: %v\n%s", len(missing), count, missing, log)
		}
		return nil
	})
	if err == nil {
		ts.Logf("[answered] %d in %v", count, took.Round(time.Millisecond))
	}
	return err
}

// unanswered returns which of the first count echoes have no answer in what ping has printed so far.
func unanswered(log string, count int) (missing []int) {
	seen := make([]bool, count+1)
	for _, m := range answered.FindAllStringSubmatch(log, -1) {
		if seq, err := strconv.Atoi(m[1]); err == nil && seq <= count {
			seen[seq] = true
		}
	}
	for seq := 1; seq <= count; seq++ {
		if !seen[seq] {
			missing = append(missing, seq)
		}
	}
	return missing
}

// TestCommandsUnanswered: only answers count, in any order.
func TestCommandsUnanswered(t *testing.T) {
	const log = `PING x (x) 56(84) bytes of data.
64 bytes from 10.2.0.10: icmp_seq=2 ttl=62 time=101 ms
From 10.2.0.1 icmp_seq=3 Time to live exceeded
64 bytes from 10.2.0.10: icmp_seq=1 ttl=62 time=335 ms
64 bytes from 10.2.0.10: icmp_seq=5 ttl=62 time=101 ms
`
	if got := unanswered(log, 2); got != nil {
		t.Errorf("of 2: %v", got)
	}
	if got := unanswered(log, 4); !slices.Equal(got, []int{3, 4}) {
		t.Errorf("of 4: %v", got)
	}
}
