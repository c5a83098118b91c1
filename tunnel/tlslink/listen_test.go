package tlslink

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"warren/tunnel"
)

// from dials from another loopback address, as another source.
func from(t *testing.T, source, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: patience}
	c, err := d.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// hungUp reports whether the other end closes the connection, soon.
func hungUp(c net.Conn, soon time.Duration) bool {
	c.SetReadDeadline(time.Now().Add(soon))
	_, err := io.Copy(io.Discard, c)
	return err == nil || !isTimeout(err)
}

// A source that wants more than its share loses the oldest that it has.
func TestOneSourceHasItsShare(t *testing.T) {
	_, b := secretPair(t)
	b.start(secretTrust(0))
	var conns []net.Conn
	for range perSource {
		conns = append(conns, from(t, "127.0.2.1", b.addr()))
	}
	poll(t, func() bool { return b.endpoint.gate.size() == perSource }, func() string { return "not all are in" })
	from(t, "127.0.2.1", b.addr())
	if !hungUp(conns[0], patience) {
		t.Fatal("one too many was let in")
	}
	if n := b.endpoint.gate.size(); n != perSource {
		t.Fatalf("%d are in, want %d", n, perSource)
	}
	if hungUp(from(t, "127.0.2.2", b.addr()), 200*time.Millisecond) {
		t.Fatal("another source was refused")
	}
}

// Whoever does not finish the handshake is gone after handshakeTimeout, also if
// bytes keep dripping.
func TestSlowHandshakeIsCutOff(t *testing.T) {
	_, b := secretPair(t)
	b.start(secretTrust(0))
	c := from(t, "127.0.3.1", b.addr())
	began := time.Now()
	go func() {
		for _, x := range []byte{22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3} {
			c.Write([]byte{x})
			time.Sleep(600 * time.Millisecond)
		}
	}()
	if !hungUp(c, patience) {
		t.Fatal("still there")
	}
	if took := time.Since(began); took < handshakeTimeout/2 {
		t.Fatalf("cut off after %v, want %v", took, handshakeTimeout)
	}
	poll(t, func() bool { return b.endpoint.gate.size() == 0 }, func() string { return "its place is still taken" })
}

// What strangers send must neither get them in nor hurt anybody.
func TestStrangersGetNothing(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	for name, try := range map[string]func(c net.Conn) error{
		"http": func(c net.Conn) error {
			io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
			line, err := bufio.NewReader(c).ReadString('\n')
			if strings.HasPrefix(line, "HTTP") {
				t.Errorf("answered %q", line)
			}
			return err
		},
		"no certificate": func(c net.Conn) error {
			tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{oldProtocol}})
			if err := tc.Handshake(); err != nil {
				return err
			}
			_, err := tc.Read(make([]byte, 1))
			return err
		},
		"old TLS": func(c net.Conn) error {
			return tls.Client(c, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}).Handshake()
		},
		"right server name, wrong key": func(c net.Conn) error {
			keys, err := deriveSecret(secretTrust(0).Secrets[0].Key)
			if err != nil {
				return err
			}
			other, err := throwaway()
			if err != nil {
				return err
			}
			tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{oldProtocol}, ServerName: keys.serverName, Certificates: []tls.Certificate{other}})
			if err := tc.Handshake(); err != nil {
				return err
			}
			_, err = tc.Read(make([]byte, 1))
			return err
		},
	} {
		c := from(t, "127.0.4.1", b.addr())
		c.SetDeadline(time.Now().Add(patience))
		if err := try(c); err == nil || isTimeout(err) {
			t.Errorf("%s: %v, want to be refused", name, err)
		}
		c.Close()
	}
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
}

// A connection of a peer's that comes to nothing is told from one that is refused: both ends may dial at once, and one hangs up then.
func TestUnfinishedConnectionsAreNotRefused(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	b.waitEvents(1) // and so expects a peer there
	keys, err := deriveSecret(secretTrust(0).Secrets[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	dial := func() *tls.Conn {
		return tls.Client(from(t, "127.0.0.1", b.addr()), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{oldProtocol},
			ServerName: keys.serverName, Certificates: []tls.Certificate{keys.dialer}})
	}
	for _, step := range []struct {
		name       string
		try        func(*tls.Conn) error
		unfinished bool
	}{
		{"hangs up before the handshake", func(c *tls.Conn) error { return c.NetConn().Close() }, true},
		{"sends data before the hello", func(c *tls.Conn) error {
			_, err := c.Write(encode(frameData, []byte{0}))
			return err
		}, false},
		{"hangs up before the hello", func(c *tls.Conn) error { return errors.Join(c.Handshake(), c.NetConn().Close()) }, true},
	} {
		if err := step.try(dial()); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		poll(t, func() bool {
			all := b.endpoint.Refusals(time.Time{})
			return len(all) == 1 && all[0].Unfinished == step.unfinished
		}, func() string { return fmt.Sprintf("%s: remembered: %+v", step.name, b.endpoint.Refusals(time.Time{})) })
	}
}

func TestSetListenIsIdempotent(t *testing.T) {
	e := newEnd(t, Config{Identity: tunnel.Identity{1}}, "a")
	first := e.endpoint.Listening()[0]
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	busy := addrPort(taken.Addr())
	kept := from(t, "127.0.0.1", first.String())

	// The map has the address as asked for, with port 0: ask for it again.
	asked := netip.MustParseAddrPort("127.0.0.1:0")
	err = e.endpoint.SetListen([]netip.AddrPort{asked, busy})
	if err == nil || !strings.Contains(err.Error(), "listen on "+busy.String()) {
		t.Fatalf("error %v, want one that names %v", err, busy)
	}
	if got := e.endpoint.Listening(); len(got) != 1 || got[0] != first {
		t.Fatalf("listening on %v, want %v as before", got, first)
	}
	if hungUp(kept, 100*time.Millisecond) {
		t.Fatal("a connection was lost")
	}
	if err := e.endpoint.SetListen(nil); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", first.String()); err == nil {
		c.Close()
		t.Fatal("still listening")
	}
}

// Sockets are prepared by the router's function and the link's, on both ends.
func TestControlSeesEverySocket(t *testing.T) {
	calls := make(chan string, 64)
	control := func(who string) Control {
		return func(string, string, syscall.RawConn) error {
			calls <- who
			return nil
		}
	}
	b := newEnd(t, Config{Identity: tunnel.Identity{2}, Control: control("router")}, "b")
	if got := <-calls; got != "router" {
		t.Fatal(got)
	}
	b.cfg.Control = control("accepting link")
	b.start(secretTrust(0))
	a := newEnd(t, Config{Identity: tunnel.Identity{1}}, "a")
	a.cfg.Control = control("dialing link")
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	for _, want := range []string{"dialing link", "accepting link"} {
		if got := <-calls; got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}

func TestEndpointRunsOnce(t *testing.T) {
	e := newEnd(t, Config{}, "a")
	if err := e.endpoint.Run(context.Background()); err == nil {
		t.Fatal("ran twice")
	}
}

// What cannot be listened on is tried again and again, and compared by its words.
func TestListenErrorHasOneText(t *testing.T) {
	var addrs []netip.AddrPort
	for i := range 8 { // of nobody here (RFC 5737)
		addrs = append(addrs, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 443))
	}
	e := NewEndpoint(Config{})
	texts := map[string]bool{}
	for range 30 {
		err := e.SetListen(addrs)
		if err == nil {
			t.Fatal("it listens on an address that is not here")
		}
		texts[err.Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("%d texts of one error", len(texts))
	}
}
