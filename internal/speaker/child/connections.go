package child

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"warren/bgp"
	"warren/bgp/engine"
	"warren/internal/socket"
	"warren/internal/speaker/wire"
)

// asker has the daemon open sockets: it is the engine.Connections of a process that may not.
type asker struct {
	packets *wire.Packets
	number  func(*bgp.Neighbor) (uint32, bool)

	mu    sync.Mutex
	last  uint32
	calls map[uint32]chan answer
}

var _ engine.Connections = (*asker)(nil)

type answer struct {
	file *os.File
	err  error
}

func newAsker(packets *wire.Packets, number func(*bgp.Neighbor) (uint32, bool)) *asker {
	return &asker{packets: packets, number: number, calls: map[uint32]chan answer{}}
}

// Listen implements engine.Connections.
func (a *asker) Listen(ctx context.Context, n *bgp.Neighbor) (net.Listener, error) {
	f, err := a.ask(ctx, n, wire.OpListen)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return listener{l}, nil
}

// listener has no keepalives on its connections, as BGP has its own.
type listener struct{ net.Listener }

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetKeepAlive(false) // fails on one that is closed, which the next read tells
	}
	return c, err
}

// Dial implements engine.Connections.
func (a *asker) Dial(ctx context.Context, n *bgp.Neighbor) (*net.TCPConn, error) {
	f, err := a.ask(ctx, n, wire.OpDial)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		c.Close()
		return nil, errors.New("the descriptor is no TCP connection")
	}
	return tcp, tcp.SetKeepAlive(false)
}

// ask asks for a socket, until ctx is done.
func (a *asker) ask(ctx context.Context, n *bgp.Neighbor, op string) (*os.File, error) {
	id, ok := a.number(n)
	if !ok {
		return nil, fmt.Errorf("neighbor %s is not wanted any more: %w", n.Name, context.Canceled)
	}
	a.mu.Lock()
	a.last++
	call, done := a.last, make(chan answer, 1)
	a.calls[call] = done
	a.mu.Unlock()
	req := wire.Request{Op: op, Call: call, Neighbor: id}
	if deadline, ok := ctx.Deadline(); ok {
		req.Timeout = time.Until(deadline)
	}
	if err := a.packets.Send(req, nil); err != nil {
		gone(err)
	}
	select {
	case is := <-done:
		return is.file, is.err
	case <-ctx.Done():
	}
	a.mu.Lock()
	_, waits := a.calls[call]
	delete(a.calls, call)
	a.mu.Unlock()
	if !waits { // it came at the last moment
		if is := <-done; is.file != nil {
			is.file.Close()
		}
	} else if err := a.packets.Send(wire.Request{Op: wire.OpCancel, Call: call}, nil); err != nil {
		gone(err)
	}
	return nil, ctx.Err()
}

// run takes answers until the daemon is gone. serve takes listeners for the gobgp command.
func (a *asker) run(serve func(number uint32, l *os.File)) {
	for {
		var is wire.Answer
		f, err := a.packets.Receive(&is)
		if err != nil {
			gone(err)
		}
		if is.Call == 0 {
			serve(is.Listener, f)
			continue
		}
		a.mu.Lock()
		done := a.calls[is.Call]
		delete(a.calls, is.Call)
		if done != nil {
			done <- answer{f, answerError(is, f)}
		}
		a.mu.Unlock()
		if done == nil && f != nil {
			f.Close()
		}
	}
}

// answerError is why there is no descriptor.
func answerError(is wire.Answer, f *os.File) error {
	switch {
	case is.Canceled:
		return fmt.Errorf("%s: %w", is.Error, context.Canceled)
	case is.Timeout:
		return fmt.Errorf("%s: %w", is.Error, context.DeadlineExceeded)
	case is.Error != "":
		return errors.New(is.Error)
	case f == nil:
		return errors.New("the daemon has sent no descriptor")
	}
	return nil
}

// gobgpClients is how many connections of the gobgp command there are at a time.
const gobgpClients = 64

// inspection answers the gobgp command on the listener that the daemon has given last. Only
// the goroutine of asker.run calls serve.
type inspection struct {
	speaker *engine.Speaker
	trusted func(uid uint32) bool
	failed  func(wire.Serving)
	stop    context.CancelFunc
}

// serve answers on f instead of on what was there before; nil: on none. What is being answered
// is ended, and not waited for.
func (i *inspection) serve(number uint32, f *os.File) {
	if i.stop != nil {
		i.stop()
		i.stop = nil
	}
	if f == nil {
		return
	}
	l, err := net.FileListener(f)
	f.Close()
	if err != nil {
		i.failed(wire.Serving{Listener: number, Error: err.Error()})
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	i.stop = stop
	go func() {
		if err := i.speaker.ServeInspection(ctx, socket.LimitFor(l, gobgpClients, i.trusted)); err != nil {
			i.failed(wire.Serving{Listener: number, Error: short(err.Error())})
		}
	}()
}
