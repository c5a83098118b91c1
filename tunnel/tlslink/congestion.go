package tlslink

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// CongestionAuto as a congestion control is [BestCongestion] where the kernel gives that to the
// socket, else the kernel's default.
const CongestionAuto = "auto"

// BestCongestion is the congestion control that suits a tunnel's connections best. BBR paces by
// the bandwidth that it measures, where cubic halves its window at each lost packet, though on
// many paths packets get lost without any congestion.
const BestCongestion = "bbr"

// The kernel's lists of congestion controls and its default, by names.
const (
	availableFile = "/proc/sys/net/ipv4/tcp_available_congestion_control"
	defaultFile   = "/proc/sys/net/ipv4/tcp_congestion_control"
)

// CheckCongestion returns an error if the kernel does not give a congestion control to a socket,
// with those that it gives. It does as a connection does: a kernel that has it as a module loads
// that for a process with CAP_NET_ADMIN (net/ipv4/tcp_cong.c, tcp_ca_find_autoload).
func CheckCongestion(name string) error {
	err := tryCongestion(name)
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("is no congestion control that this kernel gives; it gives %s, and %q chooses",
			strings.Join(availableCongestion(), ", "), CongestionAuto)
	case errors.Is(err, unix.EPERM): // it is there, and kept from this user; the daemon may take it
		return nil
	}
	return err
}

// tryCongestion returns an error if a socket does not get a congestion control. The socket is one of its own: the kernel has it locked
// while it loads the module (net/ipv4/tcp.c, do_tcp_setsockopt), and nothing could be received or sent on a session's meanwhile.
func tryCongestion(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return fmt.Errorf("open a TCP socket: %w", err)
	}
	defer unix.Close(fd)
	return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
}

// DefaultCongestion returns the name of the one that the kernel gives to those who name none; ""
// if that is not known.
func DefaultCongestion() string { return strings.TrimSpace(readSysctl(defaultFile)) }

// availableCongestion lists those that are there without a module being loaded.
func availableCongestion() []string { return strings.Fields(readSysctl(availableFile)) }

func readSysctl(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return "" // it is for people, or to save an attempt
	}
	return string(b)
}

// retryBest is how long a kernel that had none of BestCongestion is not asked to load it again:
// each time it runs modprobe.
const retryBest = time.Minute

// best remembers whether the kernel lacks BestCongestion. Its methods may be called from any
// goroutine; the zero value is ready to use.
type best struct {
	mu     sync.Mutex
	lacked time.Time // when it was; zero: it was not
}

// isWorthATry reports whether a socket may get it. available lists what is there.
func (b *best) isWorthATry(now time.Time, available func() []string) bool {
	b.mu.Lock()
	lacked := b.lacked
	b.mu.Unlock()
	return lacked.IsZero() || now.Sub(lacked) >= retryBest || slices.Contains(available(), BestCongestion)
}

func (b *best) lacks(now time.Time) {
	b.mu.Lock()
	b.lacked = now
	b.mu.Unlock()
}

// SetCongestion sets the congestion control of connections from now on, as
// [LinkConfig.Congestion] does. It may be called from any goroutine.
func (l *Link) SetCongestion(name string) { l.congestion.Store(&name) }

func isAuto(congestion string) bool { return congestion == "" || congestion == CongestionAuto }

// congest has a connection use the congestion control of the link. It is called when the
// connection is there: what is set before, the kernel replaces by what the route says when it
// connects (tcp_ca_dst_init). Where it may not be set, as with a route that locks another, the
// connection goes on with what it has. It has a goroutine of its own, as the kernel may run modprobe for it.
func (l *Link) congest(w *wire) {
	name, now := *l.congestion.Load(), l.e.cfg.Now()
	auto := isAuto(name)
	if auto {
		if name = BestCongestion; !l.e.best.isWorthATry(now, availableCongestion) {
			w.noteCongestion(unix.ENOENT)
			return
		}
	}
	err := l.e.tryCongestion(name)
	switch {
	case errors.Is(err, unix.EPERM):
		err = errRestrictedCongestion
	case err == nil:
		if err = w.setCongestion(name); errors.Is(err, unix.EPERM) {
			err = errLockedCongestion
		}
	}
	if auto {
		w.noteCongestion(err)
	}
	switch {
	case err == nil, errors.Is(err, net.ErrClosed): // the session is over
	case !auto:
		l.log.Warn("a connection does not get the congestion control that is configured",
			"congestion", name, "instead", w.congestion(), "err", err)
	case errors.Is(err, unix.ENOENT):
		l.e.best.lacks(now)
	}
}

// Why a connection does not get a congestion control that there is (net/ipv4/tcp_cong.c, tcp_set_congestion_control).
var (
	errRestrictedCongestion = errors.New("this needs CAP_NET_ADMIN, or the name in net.ipv4.tcp_allowed_congestion_control")
	// A socket without a route gets it.
	errLockedCongestion = errors.New("the route to the peer has another one, as `congctl lock` in `ip route show` says")
)

// noteCongestion keeps for the status why the connection does not have the best; nil: it has.
func (w *wire) noteCongestion(err error) {
	if errors.Is(err, net.ErrClosed) {
		return
	}
	w.lesser.Store(&err)
}

// congestionErr is what noteCongestion has noted; nil: nothing.
func (w *wire) congestionErr() error {
	if err := w.lesser.Load(); err != nil {
		return *err
	}
	return nil
}

func (w *wire) setCongestion(name string) error {
	if w.raw == nil {
		return nil
	}
	return setsockopt(w.raw, func(fd int) error {
		return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
	})
}

// congestion returns the name of the congestion control that the connection uses; "" if the
// kernel does not say, or for what is no TCP socket.
func (w *wire) congestion() (name string) {
	if w.raw == nil {
		return ""
	}
	_ = setsockopt(w.raw, func(fd int) (err error) {
		name, err = unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		return err
	})
	return name
}
