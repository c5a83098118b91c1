package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/config"
	"warren/internal/socket"
)

const (
	// gobgpMode lets the socket's group look at the speaker: the group of its directory if
	// the directory is setgid, else the daemon's.
	gobgpMode = 0o660
)

// gobgpPort lets the gobgp command look at the speaker. That somebody else has its address is no
// reason not to route: it is said, and tried again.
type gobgpPort struct {
	api   config.API
	serve func(context.Context, net.Listener) error
	log   *slog.Logger
	retry time.Duration

	problem atomic.Pointer[string] // why nobody can look; nil: they can
}

// Run listens and serves until ctx is done.
func (g *gobgpPort) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		l, err := g.listen(ctx)
		if err == nil {
			g.works()
			err = g.serve(ctx, l)
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		g.fails(err)
		select {
		case <-time.After(g.retry):
		case <-ctx.Done():
		}
	}
	return nil
}

func (g *gobgpPort) listen(ctx context.Context) (net.Listener, error) {
	if path, isUnix := g.api.GobgpSocket(); isUnix {
		return socket.ListenUnix(ctx, path, gobgpMode)
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", g.api.Gobgp)
}

// works notes that the command can look, and says so if it could not before.
func (g *gobgpPort) works() {
	if g.problem.Swap(nil) != nil {
		g.log.Info("the gobgp command can look again", "address", g.api.Gobgp)
	}
}

// fails notes why the command cannot look, and says each reason once.
func (g *gobgpPort) fails(err error) {
	text := fmt.Sprintf("the gobgp command cannot look at this router: api.gobgp = %q: %v", g.api.Gobgp, err)
	if errors.Is(err, unix.EADDRINUSE) || errors.Is(err, socket.ErrHeld) {
		text += "; what answers there is another program (another router, gobgpd, or one of any user's): " +
			"stop it, or set another address"
	}
	if before := g.problem.Swap(&text); before == nil || *before != text {
		g.log.Error("cannot listen for the gobgp command; trying again", "err", text)
	}
}

// hint is what status says of it; "" if all is well.
func (g *gobgpPort) hint() string {
	if g == nil {
		return ""
	}
	if text := g.problem.Load(); text != nil {
		return *text
	}
	return ""
}
