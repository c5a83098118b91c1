package sockets

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/bgp"
	"warren/internal/skip"
)

const testPort = 17901

var lastNet atomic.Uint32

// lan returns two neighbors on one network of this host.
func lan() (a, b bgp.Neighbor) {
	test, n := byte(os.Getpid()%250+1), byte(lastNet.Add(1))
	at := func(host byte) netip.Addr { return netip.AddrFrom4([4]byte{127, test, n, host}) }
	local := at(1)
	neighbor := func(name string, peer netip.Addr) bgp.Neighbor {
		return bgp.Neighbor{Name: name, LocalAddr: local, PeerAddr: peer, ASN: 64513, Network: []netip.Prefix{netip.PrefixFrom(local, 24)}}
	}
	return neighbor("a", at(2)), neighbor("b", at(3))
}

// far is n as its peer sees it.
func far(n bgp.Neighbor) bgp.Neighbor {
	n.LocalAddr, n.PeerAddr = n.PeerAddr, n.LocalAddr
	return n
}

// connects reports whether a peer with these options gets a connection. One that does not is
// waited for as long as a SYN takes three times.
func connects(t *testing.T, n bgp.Neighbor, limit time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, err := On(testPort).Dial(ctx, &n)
	if err != nil {
		t.Logf("dial from %s: %v", n.LocalAddr, err)
		return false
	}
	c.Close()
	return true
}

const (
	soon  = 30 * time.Second
	never = 3 * time.Second
)

// needsMD5 ends the test where the kernel has no TCP MD5.
func needsMD5(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := sign(fd, netip.MustParseAddr("127.0.0.1"), "x"); err != nil {
		skip.OutsideCI(t, "TCP MD5: %v", err)
	}
}

func listenTo(t *testing.T, p *Pool, n bgp.Neighbor) *net.TCPListener {
	t.Helper()
	l, err := p.Listen(t.Context(), &n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TestPasswords: two neighbors of one local address have one listener, each with a password
// of its own, and who has another one or none is not heard.
func TestPasswords(t *testing.T) {
	needsMD5(t)
	a, b := lan()
	a.Password, b.Password = "of a", "of b"
	p := NewPool(On(testPort))
	defer p.Close()
	listenTo(t, p, a)
	listenTo(t, p, b)
	if !connects(t, far(a), soon) || !connects(t, far(b), soon) {
		t.Error("one with its password gets no connection")
	}
	wrong, none := far(a), far(a)
	wrong.Password, none.Password = "of b", ""
	if connects(t, wrong, never) || connects(t, none, never) {
		t.Error("one with another password gets a connection")
	}
	renewed := a
	renewed.Password = "new"
	listenTo(t, p, renewed)
	if !connects(t, far(renewed), soon) || connects(t, far(a), never) || !connects(t, far(b), soon) {
		t.Error("another password does not take the place of the old one alone")
	}
	if err := p.Keep(wanted(b)); err != nil {
		t.Fatal(err)
	}
	if connects(t, far(renewed), never) || !connects(t, far(b), soon) {
		t.Error("the password of one that is gone is not forgotten alone")
	}
}

// TestTTLSecurity: who does not send with the highest TTL is not heard.
func TestTTLSecurity(t *testing.T) {
	a, b := lan()
	a.TTLSecurity = true
	p := NewPool(On(testPort))
	defer p.Close()
	listenTo(t, p, a)
	plain := far(a)
	plain.TTLSecurity = false
	if !connects(t, far(a), soon) || connects(t, plain, never) {
		t.Error("the TTL does not decide")
	}
	if _, err := p.Listen(t.Context(), &b); err == nil || !strings.Contains(err.Error(), "ttl_security") {
		t.Errorf("one without it at the same address: %v", err)
	}
}

// TestTTLSecurityChanges: neighbors of one address that all get another ttl_security get a listener with that,
// and those that differ have the one that there was.
func TestTTLSecurityChanges(t *testing.T) {
	a, b := lan()
	p := NewPool(On(testPort))
	defer p.Close()
	set := func(ofA, ofB bool) {
		t.Helper()
		a.TTLSecurity, b.TTLSecurity = ofA, ofB
		if err := p.Keep(wanted(a, b)); err != nil {
			t.Fatal(err)
		}
	}
	for _, is := range []bool{false, true, false} {
		set(is, is)
		la, lb := listenTo(t, p, a), listenTo(t, p, b)
		other := far(a)
		other.TTLSecurity = !is
		if !connects(t, far(a), soon) || !connects(t, far(b), soon) {
			t.Errorf("with ttl_security = %v nobody listens", is)
		}
		if is && connects(t, other, never) {
			t.Error("the TTL does not decide")
		}
		la.Close()
		lb.Close()
	}
	la := listenTo(t, p, a)
	set(false, true)
	if _, err := p.Listen(t.Context(), &b); err == nil || !strings.Contains(err.Error(), "ttl_security") {
		t.Errorf("another one at the same address: %v", err)
	}
	if !connects(t, far(a), soon) {
		t.Error("the listener of one that was not changed is closed")
	}
	la.Close()
	set(true, true)
	if l, err := On(testPort).Listen(t.Context(), &a); err != nil {
		t.Errorf("the address is held without a neighbor that is listened for: %v", err)
	} else {
		l.Close()
	}
}

// TestListenIsTooLate: a call that is over does not set a password over that of a later call.
func TestListenIsTooLate(t *testing.T) {
	a, _ := lan()
	p := NewPool(On(testPort))
	defer p.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if l, err := p.Listen(ctx, &a); !errors.Is(err, context.Canceled) {
		l.Close()
		t.Errorf("a listener for a call that is over: %v", err)
	}
}

// TestPoolCloses: the address is free when none of its neighbors is wanted, and a listener
// that was handed out lives until it is closed.
func TestPoolCloses(t *testing.T) {
	a, b := lan()
	p := NewPool(On(testPort))
	la, lb := listenTo(t, p, a), listenTo(t, p, b)
	if err := p.Keep(wanted(b)); err != nil {
		t.Fatal(err)
	}
	la.Close()
	if !connects(t, far(b), soon) {
		t.Error("the other one's listener is closed")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if !connects(t, far(b), soon) {
		t.Error("what was handed out is closed")
	}
	lb.Close()
	l, err := On(testPort).Listen(t.Context(), &a)
	if err != nil {
		t.Fatalf("the address is not free: %v", err)
	}
	l.Close()
}

func wanted(all ...bgp.Neighbor) func() []bgp.Neighbor {
	return func() []bgp.Neighbor { return all }
}
