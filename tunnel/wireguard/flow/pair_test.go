package flow

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"warren/tunnel/tun"
	"warren/tunnel/wireguard/flow/flowtest"
	"warren/tunnel/wireguard/pathmtu"
	"warren/tunnel/wireguard/protocol"
)

const (
	patience = 40 * time.Second
	mtu      = 1420
)

var (
	nearAddr = netip.MustParseAddrPort("192.0.2.1:51820")
	farAddr  = netip.MustParseAddrPort("192.0.2.2:51820")
)

// end is one end of a tunnel with a session that is never renewed, so that nothing but packets
// is sent.
type end struct {
	t          testing.TB
	f          *Flow
	tunnel     *Tunnel
	dev        *flowtest.Device
	socket     *Socket // once it runs
	key        protocol.PrivateKey
	mu         sync.Mutex
	handshakes int // messages of handshakes that came
}

// newPair returns two ends with a session, at two addresses. Nothing runs.
func newPair(t testing.TB, addrA, addrB netip.AddrPort) (a, b *end) {
	t.Helper()
	a, b = newEnd(t), newEnd(t)
	for _, way := range []struct {
		near, far *end
		at        netip.AddrPort
	}{{a, b, addrB}, {b, a, addrA}} {
		peer, err := way.near.f.Machine.AddPeer(protocol.PeerConfig{PublicKey: way.far.key.Public(), Endpoint: way.at})
		if err != nil {
			t.Fatal(err)
		}
		way.near.tunnel.Peer = peer
		way.near.f.Add(way.near.tunnel)
	}
	now := time.Now()
	a.tunnel.Peer.Initiate(now)
	response := b.f.Machine.Receive(now, addrA, a.tunnel.Peer.Tick(now)[0]).Reply
	a.f.Machine.Receive(now, addrB, response)
	b.f.Machine.Receive(now, addrA, a.tunnel.Peer.Tick(now)[0]) // confirms the session
	if !b.tunnel.Peer.Status(now).Established {
		t.Fatal("no session")
	}
	return a, b
}

func newEnd(t testing.TB) *end {
	e := &end{t: t, dev: flowtest.NewDevice("wg"), key: protocol.NewPrivateKey()}
	e.f = New(Config{
		Machine: protocol.New(protocol.Config{PrivateKey: e.key}), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Handshake: func(Handshake) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.handshakes++
		},
	})
	e.tunnel = &Tunnel{
		Flow: e.f, Device: e.dev, Joins: true, Logger: e.f.Logger, Notify: func() {}, Probed: func([]byte, pathmtu.Token) {},
	}
	e.tunnel.Limit.Store(mtu)
	e.tunnel.Ends.Store(&pathmtu.Ends{})
	return e
}

// newRunningPair returns two ends whose packets go over loopback.
func newRunningPair(t testing.TB) (a, b *end) {
	t.Helper()
	socketA, socketB := listen(t), listen(t)
	a, b = newPair(t, addrOf(socketA), addrOf(socketB))
	a.run(socketA)
	b.run(socketB)
	return a, b
}

// run moves packets until the test ends.
func (e *end) run(s *Socket) {
	var running sync.WaitGroup
	e.tunnel.Out, e.socket = s, s
	e.f.Receive(s, &running)
	e.tunnel.Start(0, &running, func(err error) { e.t.Error(err) })
	e.t.Cleanup(func() {
		e.dev.Close()
		s.Close()
		running.Wait()
	})
}

func listen(t testing.TB) *Socket {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s := NewSocket(c)
	if err := Prepare("udp4", s.raw); err != nil {
		t.Fatal(err)
	}
	return s
}

func addrOf(s *Socket) netip.AddrPort { return s.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// seal makes a data message of a frame.
func (e *end) seal(f []byte, limit int) []byte {
	e.t.Helper()
	sealer, err := e.tunnel.Peer.Sealer(time.Now(), 1)
	if err != nil {
		e.t.Fatal(err)
	}
	n := len(f) - tun.HeaderLen
	buf := make([]byte, protocol.Overhead+max(n, protocol.PaddedLen(n, limit)))
	copy(buf[protocol.HeaderLen:], f[tun.HeaderLen:])
	msg := sealer.Add(buf, n, limit)
	sealer.Seal()
	return msg
}
