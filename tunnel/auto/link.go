package auto

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"warren/tunnel"
)

// Config is one tunnel.
type Config struct {
	Name   string // of the peer
	Device Device // closed when Run returns
	Dials  bool   // this end has remotes, which may be several routers
	Events func(tunnel.Event)
	// Offered is called with the addresses that the peer assigns to this end, as it says. May be nil.
	Offered func([]netip.Addr)
	// Moved is called when another transport carries from now on, while the tunnel is up, with why in words.
	Moved  func(to Transport, why string)
	Resume *Handover // what the program before has left; nil: nothing
	Logger *slog.Logger
}

// TLSLink is the tunnel's link of package tlslink, WireGuardLink that of package wireguard.
type (
	TLSLink interface {
		transport
		Tell(tunnel.Received)
		TryFirst(netip.AddrPort)
	}
	WireGuardLink interface {
		transport
		Received() tunnel.Received
		Named(key string) (local, peer tunnel.Identity, ok bool)
		Join(netip.AddrPort)
		Leave()
		SendKeepalive() error
		Measure()
		RoundTrip() time.Duration
	}
	transport interface {
		Run(context.Context) error
		Status() tunnel.Status
		Wake()
	}
)

// Link is one tunnel that is carried by two transports. The goroutine of Run has the choice and says which of
// them reads the interface; what they tell comes to it by news.
type Link struct {
	cfg    Config
	tick   time.Duration
	log    *slog.Logger
	shared *shared
	tls    TLSLink
	wg     WireGuardLink

	mu   sync.Mutex
	news []any // tunnel events, each with its transport, and what the peer has received
	wake chan struct{}

	// Of the goroutine of Run, but for what status guards.
	choice      *choice
	facts       facts
	ups         [2]tunnel.Event // with which the transports came up last
	isUp        bool            // one of them is
	resumes     bool            // what the program before has left is still to be taken up
	heardAt     [2]time.Time    // when something came last by each that is up
	got         uint64          // over WireGuard, as of then
	trips       []time.Duration // over WireGuard, the last of them
	local, peer tunnel.Identity // since the tunnel came up
	told        bool            // likewise, the peer has said over TLS which addresses it assigns
	reportAt    time.Time       // when the peer is to be told next what came over WireGuard
	together    together

	status guarded
}

// what the transports tell.
type (
	happened struct {
		of Transport
		ev tunnel.Event
	}
	heard   struct{ tunnel.Received }
	offered struct{ addresses []netip.Addr }
)

// tickEvery is how often the two ends report to one another while both transports are up. In less time nothing can be said of
// losses. In more, the hold time of BGP's session, 9 s, would be over before what is sent again gets through. That sends a message of its own
// each 3 s anyway.
const tickEvery = time.Second

// New returns a tunnel whose transports have yet to be made, with the device that [Link.Side] returns for each, and
// are then given to [Link.Join].
func New(c Config) *Link {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Link{
		cfg: c, tick: tickEvery, log: c.Logger.With("peer", c.Name, "interface", c.Device.Name()),
		wake: make(chan struct{}, 1),
	}
	l.choice = newChoice(time.Now(), l.tick)
	if h := c.Resume; h != nil && (h.Carries == TLS || h.Carries == WireGuard) {
		l.choice.takeUp(time.Now(), h)
		l.resumes = true
	}
	l.shared = newShared(c.Device, l.choice.carries)
	l.status.up(time.Now(), false)
	l.status.set(time.Now(), l)
	return l
}

// Side is the device that a transport is to have.
func (l *Link) Side(t Transport) *Side { return l.shared.sides[t] }

// Join gives the link its transports, before Run.
func (l *Link) Join(tls TLSLink, wg WireGuardLink) { l.tls, l.wg = tls, wg }

// Event returns what takes the events of a transport.
func (l *Link) Event(t Transport) func(tunnel.Event) {
	return func(ev tunnel.Event) { l.put(happened{t, ev}) }
}

// Heard takes what the peer has received over WireGuard, as it says over TLS.
func (l *Link) Heard(r tunnel.Received) { l.put(heard{r}) }

// Offered takes the addresses that the peer assigns, as it says over WireGuard.
func (l *Link) Offered(addresses []netip.Addr) { l.put(offered{addresses}) }

// put may be called from any goroutine, also before Run.
func (l *Link) put(news any) {
	l.mu.Lock()
	_, report := news.(heard)
	if n := len(l.news) - 1; report && n >= 0 && isHeard(l.news[n]) {
		l.news[n] = news // of several reports the last counts, however many the peer sends
	} else {
		l.news = append(l.news, news)
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func isHeard(news any) bool {
	_, ok := news.(heard)
	return ok
}

func (l *Link) take() []any {
	l.mu.Lock()
	defer l.mu.Unlock()
	news := l.news
	l.news = nil
	return news
}

// Wake is called when the machine woke up from a sleep.
func (l *Link) Wake() {
	l.tls.Wake()
	l.wg.Wake()
}

// Run works both transports until ctx is done, or the interface fails, and closes the interface. The peer is told
// the cause of ctx, as tlslink does.
func (l *Link) Run(ctx context.Context) error {
	both, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 2)
	var running sync.WaitGroup
	for _, t := range []transport{l.tls, l.wg} {
		running.Go(func() { ended <- t.Run(both) })
	}
	err := l.loop(ctx, ended)
	cancel()
	running.Wait()
	close(ended)
	for e := range ended {
		err = errors.Join(err, e)
	}
	l.update(time.Now()) // both have said that they are down
	l.status.stop()
	return errors.Join(err, l.cfg.Device.Close())
}

// loop takes the news until ctx is done or a transport has ended.
func (l *Link) loop(ctx context.Context, ended <-chan error) error {
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return err
		case <-l.wake:
		case <-due.C:
		}
		now := time.Now()
		l.update(now)
		due.Reset(l.chores(now).Sub(now))
	}
}

// update takes the news, one after the other.
func (l *Link) update(now time.Time) {
	news := l.take()
	if l.resumes {
		l.resume(now, news)
	}
	for _, n := range news {
		switch n := n.(type) {
		case happened:
			l.happened(now, n.of, n.ev)
		case heard:
			l.facts.hears, l.heardAt[TLS] = n.Up, now
			l.choice.losses.add(report{now, n.Sent, n.Got, l.tls.Status().Stats.TxBytes + l.wg.Status().Stats.TxBytes})
		case offered:
			l.offer(n.addresses, WireGuard)
		}
		l.decide(now)
	}
	l.decide(now)
}

// happened takes the event of a transport, and makes those of the tunnel of it.
func (l *Link) happened(now time.Time, of Transport, ev tunnel.Event) {
	f := &l.facts
	if f.up[of], f.why[of] = ev.Up, ev.Reason; of == WireGuard {
		l.trips = nil
	}
	if ev.Up {
		l.ups[of], l.heardAt = ev, [2]time.Time{now, now} // while one was down nothing was awaited by the other
	}
	if of == TLS {
		f.reports, f.hears = ev.Up && ev.Beside, true
	}
	l.reportAt = now
	l.follow()
	l.decide(now)
	isUp := f.up[TLS] || f.up[WireGuard]
	switch {
	case isUp && !l.isUp:
		l.carrier(true)
		l.isUp, l.told = true, false
		l.local, l.peer = l.names(f.up, l.ups[TLS].Beside)
		l.status.up(ev.Time, true)
		l.emit(tunnel.Event{Up: true, Time: ev.Time, Remote: ev.Remote})
	case !isUp && l.isUp:
		l.carrier(false)
		l.isUp = false
		l.status.up(ev.Time, false)
		l.emit(tunnel.Event{Time: ev.Time, Remote: ev.Remote, Reason: of.String() + ": " + ev.Reason})
	}
	if of == TLS && ev.Up {
		l.offer(ev.Assigned, TLS)
	}
}

func (l *Link) carrier(up bool) {
	if err := l.cfg.Device.SetCarrier(up); err != nil && !errors.Is(err, unix.EBADFD) { // gone, which its reader will say
		l.log.Error("cannot change the carrier", "up", up, "err", err)
	}
}

func (l *Link) emit(ev tunnel.Event) {
	if l.cfg.Events == nil {
		return
	}
	ev.Name, ev.Local, ev.Peer = l.cfg.Name, l.local, l.peer
	l.cfg.Events(ev)
}

// names returns who the two ends are, from which both derive the tunnel's addresses, whichever of the transports is
// up first at either end: by their keys for WireGuard, which both know beforehand, unless the peer has TLS alone (beside
// is false). Of several secrets it is that of WireGuard's session, or while there is none that of TLS, as each end may have another
// one first.
func (l *Link) names(ups [2]bool, beside bool) (local, peer tunnel.Identity) {
	if ups[TLS] && !ups[WireGuard] {
		tls := l.tls.Status()
		if !beside {
			return tls.Local, tls.Peer
		}
		if local, peer, ok := l.wg.Named(tls.Key); ok {
			return local, peer
		}
	}
	s := l.wg.Status()
	return s.Local, s.Peer
}

// offer passes on the addresses that the peer assigns. A peer that says nothing of them over WireGuard, where it
// has to be asked, may have said so over TLS.
func (l *Link) offer(addresses []netip.Addr, by Transport) {
	if l.cfg.Offered == nil || by == WireGuard && l.told && len(addresses) == 0 {
		return
	}
	l.told = l.told || by == TLS
	l.cfg.Offered(addresses)
}

// decide has the better transport carry.
func (l *Link) decide(now time.Time) {
	if l.facts.silent = l.silent(now); l.facts.up[TLS] && l.facts.up[WireGuard] {
		tls := l.tls.Status()
		l.facts.rtt, l.facts.bbr = [2]time.Duration{tls.RTT, l.trip()}, isBBR(tls.Congestion)
	}
	if l.choice.step(now, &l.facts) {
		c := l.choice
		if err := l.shared.give(c.carries); err != nil && !errors.Is(err, os.ErrClosed) && !errors.Is(err, unix.EBADFD) {
			l.log.Error("cannot set the interface's MTU", "err", err)
		}
		if l.isUp && l.cfg.Moved != nil {
			l.cfg.Moved(c.carries, c.why)
		}
	}
	l.status.set(now, l)
}

// isBBR reports whether a congestion control is one that finds the rate of a path by what arrives, in whichever version.
func isBBR(congestion string) bool { return strings.HasPrefix(congestion, "bbr") }

// silent returns over which transports nothing comes, though the peer sends something each tick: reports over TLS, and answers
// over WireGuard.
func (l *Link) silent(now time.Time) (silent [2]bool) {
	if !l.facts.up[TLS] || !l.facts.up[WireGuard] || !l.facts.reports {
		l.heardAt = [2]time.Time{now, now}
		return silent
	}
	if got := l.wg.Received().Got; got != l.got {
		l.got, l.heardAt[WireGuard] = got, now
	}
	for t, at := range l.heardAt {
		silent[t] = now.Sub(at) >= silentTicks*l.tick
	}
	return silent
}

// measure notes the round trip that was measured since the last time, and has the next measured.
func (l *Link) measure() {
	if rtt := l.wg.RoundTrip(); rtt > 0 {
		l.trips = append(l.trips[max(0, len(l.trips)-tripsKept+1):], rtt)
	}
	l.wg.Measure()
}

// tripsKept is of how many round trips over WireGuard the shortest counts: a busy processor makes them longer at times.
const tripsKept = 5

// trip returns the round trip over WireGuard; 0: it is not known yet.
func (l *Link) trip() time.Duration {
	if len(l.trips) < tripsKept {
		return 0
	}
	return slices.Min(l.trips)
}

// chores does what is to be done now and then while both transports work, and returns when it has to be called again.
func (l *Link) chores(now time.Time) time.Time {
	f := &l.facts
	if !f.up[TLS] {
		return now.Add(time.Hour) // something happens before there is anything to do
	}
	l.keepTogether(now)
	next := l.reportAt
	if !now.Before(l.reportAt) {
		l.tls.Tell(l.wg.Received())
		if f.up[WireGuard] {
			l.measure()
		}
		next = now.Add(l.tick)
		l.reportAt = next
	}
	if !f.up[WireGuard] {
		return now.Add(time.Hour)
	}
	if n := l.choice.proves(now, f); n > 0 {
		if err := l.wg.SendKeepalive(); err != nil {
			l.log.Debug("cannot try WireGuard", "err", err)
		}
		if again := now.Add(proofTicks * l.tick / time.Duration(n)); again.Before(next) {
			next = again
		}
	}
	return next
}
