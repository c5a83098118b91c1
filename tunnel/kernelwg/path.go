package kernelwg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"warren/tunnel/internal/ping"
	"warren/tunnel/wireguard/pathmtu"
)

// path is what is told to who seeks how large the tunnel's packets may be. Link.mu guards it, but for the channel.
type path struct {
	news chan struct{} // capacity 1: something below has changed
	open func(ifname string, e pathmtu.Ends) (prober, error)

	ends  pathmtu.Ends
	turns int  // how often the path may have become another
	busy  bool // large packets are being sent
	hint  string
}

// prober sends probes between two ends, and delivers the tokens of those that were answered.
type prober interface {
	Send(message []byte) error
	Answered() <-chan pathmtu.Token
	Close()
}

// SetEnds tells the two addresses in the tunnel, without zones, between which packets get through.
func (l *Link) SetEnds(local, peer netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := (pathmtu.Ends{Local: local, Peer: peer}); e != l.path.ends {
		l.path.ends = e
		l.pathMayDiffer()
	}
}

// Busy says that large packets are being sent: whether they arrive is looked at more often.
func (l *Link) Busy() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.path.busy {
		l.path.busy = true
		signal(l.path.news)
	}
}

// Hint is what the operator should know of the path; "": nothing.
func (l *Link) Hint() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.path.hint
}

// pathMayDiffer is for who has mu.
func (l *Link) pathMayDiffer() {
	l.path.turns++
	signal(l.path.news)
}

// SeekMTU finds out, while the tunnel is up, how large its packets may be, and sets the interface's MTU to that, until ctx is done
// (package pathmtu). With an MTU of the interface that is too small for IPv6 it does nothing.
func (l *Link) SeekMTU(ctx context.Context) {
	if l.cfg.SetMTU == nil || l.cfg.MTU < pathmtu.Base {
		return
	}
	s := mtuSeeker{Link: l, search: pathmtu.New(l.cfg.MTU), mtu: l.cfg.MTU, told: l.cfg.MTU}
	defer s.stop()
	timer := time.NewTimer(forever)
	defer timer.Stop()
	for {
		timer.Reset(s.due())
		select {
		case <-ctx.Done():
			return
		case <-l.path.news:
			s.heed()
		case t := <-s.answered():
			s.take(t)
		case <-timer.C:
		}
		s.try()
	}
}

// mtuSeeker belongs to the goroutine of SeekMTU.
type mtuSeeker struct {
	*Link
	search *pathmtu.Search
	ends   pathmtu.Ends
	turns  int
	prober prober // nil: none is open
	probes []sentProbe
	mtu    int // of the interface
	told   int // the size that the log told of last

	confirmed time.Time // when the search last was
	failed    string    // what the log told of last
}

// sentProbe is a probe that waits for its answer.
type sentProbe struct {
	token pathmtu.Token
	size  int
}

// due is when something is to be done without news.
func (s *mtuSeeker) due() time.Duration {
	if at := s.search.Due(); s.prober != nil && !at.IsZero() {
		return max(0, time.Until(at))
	}
	return forever
}

func (s *mtuSeeker) answered() <-chan pathmtu.Token {
	if s.prober == nil {
		return nil
	}
	return s.prober.Answered()
}

func (s *mtuSeeker) stop() {
	s.search.Stop()
	if s.prober != nil {
		s.prober.Close()
		s.prober = nil
	}
}

// heed takes what was told.
func (s *mtuSeeker) heed() {
	s.mu.Lock()
	up, ends, turns, busy := s.isUp, s.path.ends, s.path.turns, s.path.busy
	s.mu.Unlock()
	if busy {
		s.search.Busy()
	}
	if up && turns == s.turns && s.prober != nil {
		return
	}
	s.turns = turns
	if s.stop(); !up || !ends.IsValid() {
		return
	}
	prober, err := s.path.open(s.cfg.Interface, ends)
	if err != nil {
		s.log.Warn("cannot find out how large the tunnel's packets may be", "err", err)
		return
	}
	s.prober, s.ends = prober, ends
	s.search.Restart(time.Now())
}

// take takes the answer to a probe.
func (s *mtuSeeker) take(t pathmtu.Token) {
	for i, sent := range s.probes {
		if sent.token == t {
			s.probes[i] = sentProbe{}
			s.search.Answered(time.Now(), sent.size)
			return
		}
	}
}

// try sends the probes that are due, and does what their answers ask for.
func (s *mtuSeeker) try() {
	if s.prober == nil {
		return
	}
	if sizes := s.search.Tick(time.Now()); len(sizes) > 0 {
		s.probes = s.probes[:0]
		for _, size := range sizes {
			s.send(size)
		}
	}
	s.clamp()
}

// send sends a probe. The interface takes none that is longer than its MTU, which is larger for that moment; the kernel has
// encrypted the packet when it was written.
func (s *mtuSeeker) send(size int) {
	sent := sentProbe{size: size}
	rand.Read(sent.token[:])
	m, err := s.ends.Message(size, sent.token)
	if err != nil {
		return // for sizes that these are not
	}
	s.probes = append(s.probes, sent)
	if size > s.mtu {
		if !s.set(size) {
			return
		}
		defer s.set(s.mtu)
	}
	if err := s.prober.Send(m); err != nil {
		s.log.Debug("cannot try how large packets may be", "bytes", size, "err", err)
	}
}

// set sets the interface's MTU, and reports whether it could. What goes wrong is told once.
func (s *mtuSeeker) set(mtu int) bool {
	err := s.cfg.SetMTU(mtu)
	if err == nil {
		s.failed = ""
		return true
	}
	if text := err.Error(); text != s.failed {
		s.failed = text
		s.log.Error("cannot set the interface's MTU", "err", err)
	}
	return false
}

// clamp has the tunnel's packets as large as they may be. The interface's MTU is for all that the kernel sends and forwards.
func (s *mtuSeeker) clamp() {
	if c := s.search.Confirmed(); c != s.confirmed {
		s.confirmed = c
		s.mu.Lock()
		s.path.busy = false
		s.mu.Unlock()
	}
	limit := s.search.Limit()
	if mtu := max(limit, pathmtu.Base); mtu != s.mtu && s.set(mtu) {
		s.mtu = mtu
	}
	s.mu.Lock()
	s.path.hint = narrow(limit, s.cfg.MTU)
	s.mu.Unlock()
	if !s.search.Settled() || limit == s.told {
		return
	}
	if s.told = limit; limit < s.cfg.MTU {
		s.log.Warn("large packets vanish on the way to the peer, and no ICMP error says so: the tunnel's are clamped", "bytes", limit, "mtu", s.cfg.MTU)
	} else {
		s.log.Info("large packets reach the peer again: the tunnel's are not clamped any more", "mtu", s.cfg.MTU)
	}
}

// narrow is what the operator should know of a path on which packets of more than a limit vanish; "" is nothing.
func narrow(limit, mtu int) string {
	const (
		vanish = "large packets vanish on the way to the peer, and no ICMP error says so: "
		cure   = "let fragments, ICMP \"fragmentation needed\" and ICMPv6 \"packet too big\" through the firewalls on the path"
	)
	switch {
	case limit >= mtu:
		return ""
	case limit >= pathmtu.Base:
		return fmt.Sprintf("%sthe tunnel is clamped to packets of %d bytes; %s, or set mtu = %d", vanish, limit, cure, limit)
	}
	return fmt.Sprintf("%sno more than %d bytes pass, but the tunnel's interface has an MTU of %d, as IPv6 demands, so that larger ones get lost; %s",
		vanish, limit, pathmtu.Base, cure)
}

// socket is the prober of the real interface.
type socket struct {
	*ping.Socket
	tokens chan pathmtu.Token
	closed chan struct{}
}

func openProber(ifname string, e pathmtu.Ends) (prober, error) {
	conn, err := ping.OpenSocket(ifname, e.Local, e.Peer)
	if err != nil {
		return nil, err
	}
	s := &socket{conn, make(chan pathmtu.Token), make(chan struct{})}
	go s.receive()
	return s, nil
}

// receive runs until the socket is closed.
func (s *socket) receive() {
	buf := make([]byte, 256) // more than up to the token
	for {
		n, err := s.Receive(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		t, ok := pathmtu.TakeMessage(buf[:n])
		if err != nil || !ok { // an ICMP error is told once (raw(7)), and more may follow
			continue
		}
		select {
		case s.tokens <- t:
		case <-s.closed:
			return
		}
	}
}

// Answered implements prober.
func (s *socket) Answered() <-chan pathmtu.Token { return s.tokens }

// Close implements prober.
func (s *socket) Close() {
	close(s.closed)
	s.Socket.Close()
}
