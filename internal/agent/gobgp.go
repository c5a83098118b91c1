package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/config"
	"warren/internal/socket"
)

// apiMode lets the group of a socket of [api] look: the group of its directory if the directory
// is setgid, else the daemon's.
const apiMode = 0o660

// gobgpPort lets the gobgp command look at the speaker. That somebody else has its address is no
// reason not to route: it is said, and tried again.
type gobgpPort struct {
	api     config.API
	serve   func(context.Context, net.Listener) error
	backOff func(tries int) time.Duration
	again   chan struct{} // capacity 1: to be tried at once
	report  func(error)   // why nobody can look; nil: they can
}

// Run listens and serves until ctx is done.
func (g *gobgpPort) Run(ctx context.Context) error {
	for tries := 1; ctx.Err() == nil; tries++ {
		l, err := g.listen(ctx)
		if err == nil {
			tries = 0
			g.report(nil)
			err = g.serve(ctx, l)
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		g.report(g.explain(err))
		select {
		case <-time.After(g.backOff(max(tries, 1))):
		case <-g.again:
		case <-ctx.Done():
		}
	}
	return nil
}

// hurry has it tried again at once, if it is on and failed.
func (g *gobgpPort) hurry() {
	if g == nil {
		return
	}
	select {
	case g.again <- struct{}{}:
	default:
	}
}

func (g *gobgpPort) listen(ctx context.Context) (net.Listener, error) {
	return listenLocal(ctx, g.api.Gobgp)
}

// listenLocal listens at an address of [api]: IP:port, or unix: and a path.
func listenLocal(ctx context.Context, address string) (net.Listener, error) {
	if path, isUnix := config.SocketPath(address); isUnix {
		return socket.ListenUnix(ctx, path, apiMode)
	}
	network := "tcp"
	if ap, err := netip.ParseAddrPort(address); err == nil && ap.Addr().Is4() {
		network = "tcp4" // else 0.0.0.0 is [::], for IPv6 too
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, network, address)
}

// explain says what an operator can do.
func (g *gobgpPort) explain(err error) error {
	err = fmt.Errorf("api.gobgp = %q: %w", g.api.Gobgp, err)
	if errors.Is(err, unix.EADDRINUSE) || errors.Is(err, socket.ErrHeld) {
		return fmt.Errorf("%w; what answers there is another program (another router, gobgpd, or one of any user's): "+
			"stop it, or set another address", err)
	}
	return err
}
