//go:build privileged

package underlay

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// restoreMarks gives all that this host sends the mark of its connection, which is
// none, as mwan3 and others do.
func (h *host) restoreMarks() {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), "restore.nft")
	err := os.WriteFile(path, []byte(`
		table inet other {
			chain output {
				type route hook output priority mangle;
				meta mark set ct mark
			}
		}`), 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	h.run("nft -f " + path)
}

func TestRestoredMarksAreNoticedAndMendedOverTCP(t *testing.T) {
	both(t, func(t *testing.T, _, remote, _, _ string) {
		h := newHost(t)
		addr := h.serve(remote)
		h.swallow()
		var logs bytes.Buffer
		g, stop := h.guard(&logs)
		h.own.Store(g)
		c, err := dial(g.Control(""), addr, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := roundTrip(c); err != nil {
			t.Fatal(err)
		}
		if s := g.Swallowed(); len(s) != 0 {
			t.Fatalf("before the rule: %+v", s)
		}
		h.restoreMarks()
		if err := roundTrip(c); err != nil {
			t.Fatalf("a connection that is there: %v", err)
		}
		h.eventually("it is said", func() bool { return len(g.Swallowed()) == 1 && g.Swallowed()[0].Remarked })
		s := g.Swallowed()[0]
		if s.Interface != "tun0" || s.Packets == 0 || s.Remote.String() != addr || time.Since(s.Last) > patience {
			t.Errorf("%+v", s)
		}
		// A new one, without a single packet in the tunnel.
		before := h.sent()
		c2, err := dial(g.Control(""), addr, patience)
		if err != nil {
			t.Fatalf("a new connection: %v", err)
		}
		defer c2.Close()
		if err := roundTrip(c2); err != nil {
			t.Fatal(err)
		}
		if n := h.sent() - before; n != 0 {
			t.Errorf("%d packets went into the tunnel", n)
		}
		// Somebody loads a ruleset.
		h.run("nft flush ruleset")
		h.restoreMarks()
		if err := roundTrip(c2); err != nil {
			t.Fatalf("after a flush: %v", err)
		}
		h.eventually("the table is back", func() bool { return strings.Contains(h.run("nft list tables"), MarksTable) })
		stop()
		if out := h.run("nft list tables"); strings.Contains(out, MarksTable) {
			t.Errorf("left behind: %s", out)
		}
		if n := strings.Count(logs.String(), "came out of a tunnel"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, logs.String())
		}
	})
}

// The first packets of a connection are recognised too, and a socket of UDP that sends
// to anybody.
func TestRestoredMarksFromTheBeginning(t *testing.T) {
	both(t, func(t *testing.T, flag, remote, _, _ string) {
		h := newHost(t)
		addr := h.serve(remote)
		echo := h.serveUDP(remote)
		h.swallow()
		h.restoreMarks()
		g, _ := h.guard(nil)
		h.own.Store(g)
		lc := net.ListenConfig{Control: g.Control("")}
		network := map[string]string{"-4": "udp4", "-6": "udp6"}[flag]
		u, err := lc.ListenPacket(t.Context(), network, ":51820")
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		g.ListensUDP(51820)
		to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(echo))
		got := make(chan struct{})
		go func() {
			if _, _, err := u.ReadFrom(make([]byte, 64)); err == nil {
				close(got)
			}
		}()
		h.eventually("an answer over UDP", func() bool {
			if _, err := u.WriteTo([]byte("warren"), to); err != nil {
				t.Fatal(err)
			}
			select {
			case <-got:
				return true
			default:
				return false
			}
		})
		if s := g.Swallowed(); len(s) != 1 || s[0].Remote.String() != echo {
			t.Errorf("%+v", s)
		}
		// The table comes back at once where more of the packets over UDP are read only now.
		h.eventually("a connection's first packets are recognised", func() bool {
			_, _ = runCommand("nft delete table ip " + MarksTable)
			_, _ = runCommand("nft delete table ip6 " + MarksTable)
			c, err := dial(g.Control(""), addr, patience)
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			s := g.Swallowed()
			return len(s) == 1 && s[0].Remote.String() == addr
		})
	})
}

// What is not a transport's goes through the tunnel, be it to the same place, and no
// table is made for it.
func TestOthersPacketsAreCarried(t *testing.T) {
	both(t, func(t *testing.T, _, remote, _, _ string) {
		h := newHost(t)
		addr := h.serve(remote)
		h.swallow()
		g, _ := h.guard(nil)
		h.own.Store(g)
		c, err := dial(g.Control(""), addr, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		h.swallows(addr)
		if s := g.Swallowed(); len(s) != 0 {
			t.Errorf("%+v", s)
		}
		if out := h.run("nft list tables"); strings.Contains(out, MarksTable) {
			t.Errorf("a table was made: %s", out)
		}
	})
}

func TestSocketDiagnosis(t *testing.T) {
	newHost(t)
	for _, ipProto := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		if !diagnosis(ipProto) {
			t.Errorf("protocol %d: a socket that is there is not found", ipProto)
		}
	}
	if diagnosis(unix.IPPROTO_SCTP) {
		t.Error("a protocol that nobody has is diagnosed")
	}
}

// A table that a killed daemon left goes at the start.
func TestLeftoverMarksTable(t *testing.T) {
	h := newHost(t)
	if err := makeMarks(); err != nil {
		t.Fatal(err)
	}
	if out := h.run("nft list ruleset"); strings.Count(out, "socket mark") != 2 {
		t.Fatalf("made:\n%s", out)
	}
	h.guard(nil)
	if out := h.run("nft list tables"); strings.Contains(out, MarksTable) {
		t.Errorf("still there: %s", out)
	}
}

// serveUDP echoes on the router until the test ends.
func (h *host) serveUDP(addr string) string {
	h.t.Helper()
	var c net.PacketConn
	err := h.router.Do(func() (err error) {
		c, err = new(net.ListenConfig).ListenPacket(context.Background(), "udp", net.JoinHostPort(addr, "0"))
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	go func() {
		buf := make([]byte, 64)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if _, err := c.WriteTo(buf[:n], from); err != nil {
				return
			}
		}
	}()
	return c.LocalAddr().String()
}
