package sockets

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"

	"warren/bgp"
)

// A Pool opens listeners for neighbors on networks with others, of whom several may come to
// one local address: those have one listener, with the password of each. Its methods may be
// called from any goroutine.
type Pool struct {
	opener Opener

	mu   sync.Mutex
	open map[end]*shared
}

// An end is what a listener listens at.
type end struct {
	local netip.Addr
	iface string
}

type shared struct {
	l           *net.TCPListener
	ttlSecurity bool
	peers       map[netip.Addr]bool // that may come; true: with a password
}

// NewPool returns a Pool without listeners.
func NewPool(o Opener) *Pool { return &Pool{opener: o, open: make(map[end]*shared)} }

// ErrTTLSecurity says that a listener is there with another TTLSecurity.
var ErrTTLSecurity = errors.New("another neighbor comes to the same address: both need ttl_security, or neither")

// Listen returns a listener for n, which the caller has to close. What it accepts may be a
// connection of another neighbor with the same local address.
func (p *Pool) Listen(ctx context.Context, n *bgp.Neighbor) (*net.TCPListener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err // another call for the peer, with another password, may have come first
	}
	at := end{n.LocalAddr, n.Interface}
	s := p.open[at]
	if s == nil {
		l, err := p.opener.Listen(ctx, n)
		if err != nil {
			return nil, err
		}
		s = &shared{l: l.(*net.TCPListener), ttlSecurity: n.TTLSecurity, peers: make(map[netip.Addr]bool)}
		p.open[at] = s
	}
	if s.ttlSecurity != n.TTLSecurity {
		return nil, fmt.Errorf("listen at %s: %w", n.LocalAddr, ErrTTLSecurity)
	}
	if err := s.password(n.PeerAddr, n.Password); err != nil {
		return nil, err
	}
	return s.copy()
}

// password has the segments of a peer signed, or not.
func (s *shared) password(peer netip.Addr, password bgp.Password) error {
	if password != "" || s.peers[peer] {
		raw, err := s.l.SyscallConn()
		if err != nil {
			return err
		}
		var set error
		if err := errors.Join(raw.Control(func(fd uintptr) { set = sign(int(fd), peer, password) }), set); err != nil {
			return err
		}
	}
	s.peers[peer] = password != ""
	return nil
}

// copy is another descriptor of the same socket.
func (s *shared) copy() (*net.TCPListener, error) {
	f, err := s.l.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

// Keep closes the listeners that are for none of the neighbors, and forgets the passwords of
// the others. Where all neighbors of a listener have another TTLSecurity than it was opened with, it is
// closed too, as it cannot be changed: Listen opens the next one. neighbors returns all that are wanted; it is
// called when no listener can be opened meanwhile, of which it would not know.
func (p *Pool) Keep(neighbors func() []bgp.Neighbor) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := make(map[end]map[netip.Addr]bool) // true: with TTLSecurity
	for _, n := range neighbors() {
		at := end{n.LocalAddr, n.Interface}
		if wanted[at] == nil {
			wanted[at] = make(map[netip.Addr]bool)
		}
		wanted[at][n.PeerAddr] = n.TTLSecurity
	}
	var errs []error
	for at, s := range p.open {
		if !slices.Contains(slices.Collect(maps.Values(wanted[at])), s.ttlSecurity) {
			errs = append(errs, s.l.Close())
			delete(p.open, at)
			continue
		}
		for peer := range s.peers {
			if _, ok := wanted[at][peer]; !ok {
				errs = append(errs, s.password(peer, ""))
				delete(s.peers, peer)
			}
		}
		if len(s.peers) == 0 {
			errs = append(errs, s.l.Close())
			delete(p.open, at)
		}
	}
	return errors.Join(errs...)
}

// Close closes all listeners. Copies of them stay open.
func (p *Pool) Close() error { return p.Keep(func() []bgp.Neighbor { return nil }) }
