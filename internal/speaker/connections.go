package speaker

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"warren/bgp"
	"warren/bgp/sockets"
	"warren/internal/speaker/wire"
)

// What a neighbor's sockets are bounded by. The engine dials ten times a second at most, and listens once.
const (
	opensPerSecond = 20
	openBurst      = 40
	dialsAtOnce    = 4
	// What all of them may ask for; what is beyond waits. A thousand neighbors that come up at once
	// ask ten thousand times in the first second.
	requestsPerSecond = 5000
	requestBurst      = 10000
	// dialTime bounds an attempt, and three round trips more.
	dialTime = 10 * time.Second
)

// calls are the requests that are being answered.
type calls struct {
	mu     sync.Mutex
	cancel map[uint32]context.CancelFunc
	of     map[uint32]*opens // by neighbor
	many   int               // with as many in of, those that are not wanted any more are forgotten
	work   sync.WaitGroup
}

// opens is what was opened for a neighbor.
type opens struct {
	limit *rate.Limiter
	now   int // being dialed
}

// fewCalls is how many neighbors are remembered without a look.
const fewCalls = 16

func newCalls() calls {
	return calls{cancel: map[uint32]context.CancelFunc{}, of: map[uint32]*opens{}}
}

var (
	errNotWanted = errors.New("the neighbor is not wanted any more")
	errTooMany   = errors.New("too many connections are asked for")
)

// open opens what the process asks for, until it ends.
func (p *process) open() error {
	defer p.calls.work.Wait()
	limit := rate.NewLimiter(requestsPerSecond, requestBurst)
	for limit.Wait(p.ended) == nil {
		var req wire.Request
		f, err := p.packets.Receive(&req)
		if f != nil {
			f.Close()
			return broken("it has sent a descriptor")
		}
		switch {
		case err != nil && p.ended.Err() != nil:
			return nil
		case isEnd(err):
			return err
		case err != nil:
			return broken("it asks for what cannot be: %w", err)
		case req.Op == wire.OpCancel:
			p.calls.mu.Lock()
			if cancel := p.calls.cancel[req.Call]; cancel != nil {
				cancel()
			}
			p.calls.mu.Unlock()
			continue
		case req.Op != wire.OpListen && req.Op != wire.OpDial || req.Call == 0:
			return broken("it asks for %q", req.Op)
		}
		n, ok := p.neighbor(req.Neighbor)
		if !ok {
			p.answer(req, nil, errNotWanted)
			continue
		}
		if err := p.begin(req, n); err != nil {
			p.answer(req, nil, err)
		}
	}
	return nil
}

// neighbor is the neighbor that is wanted with a number. Nothing that the process says counts for where a
// socket leads to.
func (p *process) neighbor(id uint32) (bgp.Neighbor, bool) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	o := p.s.table.owners[id]
	if o == nil || p.s.table.wanted[o.neighbor.Name] != o || o.neighbor.Validate() != nil {
		return bgp.Neighbor{}, false
	}
	return o.neighbor, true
}

// begin opens a socket in a goroutine of its own.
func (p *process) begin(req wire.Request, n bgp.Neighbor) error {
	c := &p.calls
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of[req.Neighbor]
	if of == nil {
		of = &opens{limit: rate.NewLimiter(opensPerSecond, openBurst)}
		c.of[req.Neighbor] = of
	}
	if c.cancel[req.Call] != nil || of.now >= dialsAtOnce || !of.limit.Allow() {
		return errTooMany
	}
	most := dialTime + 3*n.RTT
	if req.Timeout <= 0 || req.Timeout > most {
		req.Timeout = most
	}
	ctx, cancel := context.WithTimeout(p.ended, req.Timeout)
	c.cancel[req.Call] = cancel
	of.now++
	c.work.Go(func() {
		socket, err := p.socket(ctx, req.Op, &n)
		c.mu.Lock()
		delete(c.cancel, req.Call)
		of.now--
		p.forget()
		c.mu.Unlock()
		cancel()
		if _, wanted := p.neighbor(req.Neighbor); err == nil && !wanted {
			err = errNotWanted
			if n.LAN() {
				p.keepListeners() // it may have been opened after those of other neighbors were closed
			}
		}
		p.answer(req, socket, err)
	})
	return nil
}

// forget forgets the neighbors that are not wanted any more, as soon as they may be half of all: to look at each
// after every call would cost the square of their number. calls.mu is held.
func (p *process) forget() {
	if len(p.calls.of) < p.calls.many {
		return
	}
	for id, of := range p.calls.of {
		if _, wanted := p.neighbor(id); !wanted && of.now == 0 {
			delete(p.calls.of, id)
		}
	}
	p.calls.many = 2*len(p.calls.of) + fewCalls
}

// endpoint is what net.Listener and net.TCPConn have in common here.
type endpoint interface {
	syscall.Conn
	Close() error
}

func (p *process) socket(ctx context.Context, op string, n *bgp.Neighbor) (endpoint, error) {
	if op == wire.OpDial {
		c, err := p.s.cfg.sockets.Dial(ctx, n)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	if n.LAN() {
		l, err := p.pool.Listen(ctx, n)
		if errors.Is(err, sockets.ErrTTLSecurity) { // the process may be faster than write
			p.keepListeners()
			l, err = p.pool.Listen(ctx, n)
		}
		if err != nil {
			return nil, err
		}
		return l, nil
	}
	l, err := p.s.cfg.sockets.Listen(ctx, n)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

// answer sends a socket, or why there is none, and closes this process's descriptor of it.
func (p *process) answer(req wire.Request, s endpoint, err error) {
	answer := wire.Answer{Call: req.Call}
	var with syscall.Conn
	if err != nil {
		var timeout net.Error
		answer.Error = short(err.Error())
		answer.Timeout = errors.As(err, &timeout) && timeout.Timeout()
		answer.Canceled = errors.Is(err, context.Canceled) || errors.Is(err, errNotWanted)
	} else {
		with = s
	}
	sendErr := p.sendSocket(answer, with)
	if s != nil {
		_ = s.Close()
	}
	if sendErr != nil {
		p.end(sendErr)
	}
}
