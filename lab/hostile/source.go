package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// lateAnswers is how long answers are waited for after the last datagram.
const lateAnswers = 2 * time.Second

// sources are UDP sockets of the attacker's own, which send to one victim and
// count what it sends back.
type sources struct {
	conns []*net.UDPConn
	sent  int
	// onAnswer is called with each answer, one at a time for each socket.
	onAnswer func(source int, b []byte)

	mu      sync.Mutex
	answers map[uint32]int // by message type
	readers sync.WaitGroup
}

func newSources(n int, victim netip.AddrPort, onAnswer func(int, []byte)) (*sources, error) {
	s := &sources{answers: map[uint32]int{}, onAnswer: onAnswer}
	for i := range n {
		c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(victim))
		if err != nil {
			s.close()
			return nil, err
		}
		s.conns = append(s.conns, c)
		s.readers.Go(func() { s.read(i, c) })
	}
	return s, nil
}

func (s *sources) read(source int, c *net.UDPConn) {
	b := make([]byte, 1<<16)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if s.onAnswer != nil {
			s.onAnswer(source, b[:n])
		}
		s.mu.Lock()
		s.answers[wgType(b[:n])]++
		s.mu.Unlock()
	}
}

// send sends from one of the sockets.
func (s *sources) send(source int, b []byte) error {
	if _, err := s.conns[source%len(s.conns)].Write(b); err != nil {
		return err
	}
	s.sent++
	return nil
}

func (s *sources) close() {
	for _, c := range s.conns {
		c.Close()
	}
	s.readers.Wait()
}

// finish waits for late answers, and prints what was done and what came of it.
func (s *sources) finish(what string) {
	time.Sleep(lateAnswers)
	s.close()
	fmt.Printf("%s: sent %d, %s came back\n", what, s.sent, s.cameBack())
}

func (s *sources) cameBack() string {
	var words []string
	for _, typ := range slices.Sorted(maps.Keys(s.answers)) {
		name := wgNames[typ]
		if name == "" {
			name = fmt.Sprintf("of type %d", typ)
		}
		words = append(words, fmt.Sprintf("%d %s", s.answers[typ], name))
	}
	if words == nil {
		return "nothing"
	}
	return strings.Join(words, ", ")
}

// stopped is done when this process gets SIGTERM, which ends what it does before its time.
var stopped = sync.OnceValue(func() context.Context {
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	return ctx
})

// pace calls send at a rate, or as fast as it can, n times or for a while or until it
// is stopped, whichever is first. It returns how often. What the machine does not give
// is not made up for.
func pace(perSecond, n int, d time.Duration, send func(i int) error) (int, error) {
	begin, stop := time.Now(), stopped()
	burst := max(perSecond/50, 1)
	sent, skipped := 0, 0
	for elapsed := time.Duration(0); sent < n && elapsed < d && stop.Err() == nil; elapsed = time.Since(begin) {
		due := int(elapsed.Seconds()*float64(perSecond)) - sent - skipped
		if due > burst {
			skipped += due - burst
			due = burst
		}
		for range min(due, n-sent) {
			if err := send(sent); err != nil {
				return sent, err
			}
			sent++
		}
		time.Sleep(time.Millisecond)
	}
	return sent, nil
}

// paceLimit bounds the sending of a number of datagrams.
const paceLimit = time.Minute

// paceAll calls send with each of the datagrams, at a rate.
func paceAll[T any](perSecond int, of []T, send func(i int, d T) error) error {
	sent, err := pace(perSecond, len(of), paceLimit, func(i int) error { return send(i, of[i]) })
	if err == nil && sent < len(of) {
		err = fmt.Errorf("only %d of %d could be sent in %v", sent, len(of), paceLimit)
	}
	return err
}
