package tlslink

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bounds on the log lines about connections that were refused.
const (
	logInterval   = 10 * time.Second // between lines about one network, or one known source
	maxLogSources = 1024             // that are told apart
	strangerLines = 10               // about all strangers together, at once, and one each logInterval
)

// complaints logs that connections were refused, now and then: an attack from many
// networks does not fill the disk, and does not hide what is said of peers. Its
// methods may be called from any goroutine.
type complaints struct {
	log   *slog.Logger
	known *known

	mu        sync.Mutex
	logged    map[netip.Addr]time.Time
	strangers *rate.Limiter
	unlogged  int // since the last line
}

func newComplaints(log *slog.Logger, k *known) *complaints {
	return &complaints{
		log: log, known: k, logged: make(map[netip.Addr]time.Time),
		strangers: rate.NewLimiter(rate.Every(logInterval), strangerLines),
	}
}

func (c *complaints) refused(now time.Time, remote netip.AddrPort, err error) {
	more, ok := c.mayLog(now, remote.Addr())
	if !ok {
		return
	}
	log := c.log.With("remote", remote.String(), "err", err)
	if more > 0 {
		log = log.With("others", more)
	}
	log.Warn("refused a connection")
}

// mayLog reports whether a line about an address is due, and how many were not
// since the last line.
func (c *complaints) mayLog(now time.Time, a netip.Addr) (more int, ok bool) {
	isKnown, about := c.known.has(a), source(a)
	if !isKnown {
		about = networksOf(a)[1].Addr()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, ok := c.logged[about]; ok && now.Sub(last) < logInterval || !isKnown && !c.strangers.AllowN(now, 1) {
		c.unlogged++
		return 0, false
	}
	if len(c.logged) >= maxLogSources {
		clear(c.logged)
	}
	c.logged[about] = now
	more, c.unlogged = c.unlogged, 0
	return more, true
}
