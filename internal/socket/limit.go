package socket

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"warren/internal/access"
)

// Limit bounds how many connections that l accepted are open at a time: most, at least 1.
// One too many closes another, as the package's comment tells; the newest itself if all others
// are root's or the daemon's own and it is not. The connections have a method User.
func Limit(l net.Listener, most int) net.Listener { return LimitFor(l, most, access.Trusted) }

// LimitFor is Limit where others are trusted than root and the user of this process.
func LimitFor(l net.Listener, most int, trusted func(uid uint32) bool) net.Listener {
	return &limited{Listener: l, most: most, trusted: trusted, open: map[*conn]struct{}{}}
}

type limited struct {
	net.Listener
	most    int
	trusted func(uid uint32) bool

	mu   sync.Mutex
	open map[*conn]struct{}
}

// conn is a connection that counts.
type conn struct {
	net.Conn
	of      *limited
	user    user
	trusted bool         // the user is
	moved   atomic.Int64 // when bytes last went through, in ns since the epoch
	once    sync.Once
}

// Accept waits for the next connection.
func (l *limited) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: accepted, of: l, user: userOf(accepted)}
		c.trusted = c.user != unknown && l.trusted(uint32(c.user))
		c.touch()
		l.mu.Lock()
		l.open[c] = struct{}{}
		var victim *conn
		if len(l.open) > l.most {
			victim = l.victim(c)
		}
		l.mu.Unlock()
		if victim != nil {
			_ = victim.Close()
		}
		if victim != c {
			return c, nil
		}
	}
}

// victim chooses which connection goes. It is called with mu held.
func (l *limited) victim(newest *conn) *conn {
	counts := map[user]int{}
	for c := range l.open {
		counts[c.user]++
	}
	victim := newest
	for c := range l.open {
		if c != newest && goesBefore(c, victim, newest, counts) {
			victim = c
		}
	}
	return victim
}

// goesBefore reports whether c goes rather than d when newest has come.
func goesBefore(c, d, newest *conn, counts map[user]int) bool {
	if c.trusted != d.trusted {
		return !c.trusted
	}
	if c.trusted && !newest.trusted {
		return false
	}
	if counts[c.user] != counts[d.user] {
		return counts[c.user] > counts[d.user]
	}
	if d == newest {
		return true
	}
	return c.moved.Load() < d.moved.Load()
}

// user is the user at the other end of a connection, -1 if that is not known.
type user int64

const unknown user = -1

// User returns the user at the other end, -1 if that is not known, and whether it is trusted.
func (c *conn) User() (uid int64, trusted bool) { return int64(c.user), c.trusted }

// NetConn returns the connection itself.
func (c *conn) NetConn() net.Conn { return c.Conn }

func (c *conn) touch() { c.moved.Store(time.Now().UnixNano()) }

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.touch()
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if n > 0 {
		c.touch()
	}
	return n, err
}

func (c *conn) Close() error {
	c.once.Do(func() {
		c.of.mu.Lock()
		delete(c.of.open, c)
		c.of.mu.Unlock()
	})
	return c.Conn.Close()
}
