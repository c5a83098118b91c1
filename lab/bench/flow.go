package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"warren/lab/topo"
)

const (
	// flowInterval is between two packets of a flow.
	flowInterval = time.Millisecond
	// flowSilence after the sender's end is how long the receivers still wait for packets.
	flowSilence = time.Second
	flowPort    = 5400 // of the first flow of a turn; those behind it follow
)

// way is where a flow goes, in IPv4.
type way struct {
	from     *topo.Host
	to       []*topo.Host // all at which it may arrive
	src, dst string
}

// flow is packets 1 ms apart on their way. Sender and receivers are this program, run again: what else it
// does must not make packets late.
type flow struct {
	way       way
	sender    *topo.Process
	receivers []*topo.Process
}

// flowFigures is what became of a flow.
type flowFigures struct {
	sent, lost int
	gapMS      float64 // the longest between two packets that arrived, at whichever end
}

// startFlow starts a flow, and returns when the first packet has arrived.
func startFlow(ctx context.Context, w way, port int) (*flow, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("run this program again: %w", err)
	}
	f := &flow{way: w}
	said := func(word string) func() error {
		return func() error {
			for _, r := range f.receivers {
				if strings.Contains(r.Log(), word) {
					return nil
				}
			}
			return fmt.Errorf("flow to %s: no receiver says %q", w.dst, word)
		}
	}
	for _, h := range w.to {
		r, err := h.Start(self, "flow-receive", fmt.Sprint(port))
		if err != nil {
			return nil, err
		}
		f.receivers = append(f.receivers, r)
		_, err = topo.Eventually(ctx, 5*time.Millisecond, fullReady, func() error {
			if !strings.Contains(r.Log(), "ready") {
				return fmt.Errorf("%v is not ready: %s", r, r.Log())
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if f.sender, err = w.from.Start(self, "flow-send", w.src, w.dst, fmt.Sprint(port)); err != nil {
		return nil, err
	}
	if _, err = topo.Eventually(ctx, 5*time.Millisecond, fullReady, said("first")); err != nil {
		return nil, errors.Join(err, fmt.Errorf("its sender: %s", f.sender.Log()))
	}
	return f, nil
}

// stop ends the flow, and returns what became of its packets.
func (f *flow) stop(ctx context.Context) (flowFigures, error) {
	ctx, cancel := context.WithTimeout(ctx, fullReady)
	defer cancel()
	ended := time.Now()
	f.sender.Signal(syscall.SIGTERM)
	if err := f.sender.Wait(ctx); err != nil {
		return flowFigures{}, fmt.Errorf("%w\nits log:\n%s", err, f.sender.Log())
	}
	var sent int
	if _, err := fmt.Sscan(f.sender.Log(), &sent); err != nil {
		return flowFigures{}, fmt.Errorf("flow: the sender printed %q: %w", f.sender.Log(), err)
	}
	var all []arrival
	for _, r := range f.receivers {
		r.Signal(syscall.SIGTERM)
		if err := r.Wait(ctx); err != nil {
			return flowFigures{}, fmt.Errorf("%w\nits log:\n%s", err, tail(r.Log()))
		}
		some, err := parseArrivals(r.Log())
		if err != nil {
			return flowFigures{}, err
		}
		all = append(all, some...)
	}
	return assess(sent, all, ended), nil
}

// arrival is a packet that has arrived.
type arrival struct {
	number int64
	at     int64 // ns since 1970
}

// parseArrivals reads what a receiver has printed: words, and a line "NUMBER TIME" for each packet.
func parseArrivals(log string) ([]arrival, error) {
	var out []arrival
	for line := range strings.Lines(log) {
		if line[0] < '0' || line[0] > '9' {
			continue
		}
		var a arrival
		if _, err := fmt.Sscan(line, &a.number, &a.at); err != nil {
			return nil, fmt.Errorf("flow: the receiver printed %q: %w", line, err)
		}
		out = append(out, a)
	}
	return out, nil
}

// assess finds lost packets and the longest gap, the last of which may last until the flow has ended.
func assess(sent int, all []arrival, ended time.Time) flowFigures {
	slices.SortFunc(all, func(a, b arrival) int { return int(a.at - b.at) })
	numbers := map[int64]bool{}
	longest, last := int64(0), int64(0)
	for i, a := range all {
		numbers[a.number] = true
		if i > 0 {
			longest = max(longest, a.at-last)
		}
		last = a.at
	}
	if len(all) > 0 {
		longest = max(longest, ended.UnixNano()-last)
	}
	return flowFigures{sent: sent, lost: sent - len(numbers), gapMS: float64(longest) / 1e6}
}

// flows are several at once.
type flows []*flow

func startFlows(ctx context.Context, ways []way) (fs flows, err error) {
	for i, w := range ways {
		f, err := startFlow(ctx, w, flowPort+i)
		if err != nil {
			return nil, err
		}
		fs = append(fs, f)
	}
	return fs, nil
}

// stop ends all, and returns the figures of whichever fared worst: most lost, and the longest gap.
func (fs flows) stop(ctx context.Context) (worst flowFigures, err error) {
	var errs []error
	for _, f := range fs {
		got, err := f.stop(ctx)
		errs = append(errs, err)
		worst.sent += got.sent
		worst.lost = max(worst.lost, got.lost)
		worst.gapMS = max(worst.gapMS, got.gapMS)
	}
	return worst, errors.Join(errs...)
}
