package wireguard

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"warren/tunnel/tun"
	"warren/tunnel/wireguard/flow"
	"warren/tunnel/wireguard/flow/flowtest"
	"warren/tunnel/wireguard/protocol"
)

// Packets that arrive amid many handshakes are delivered before those are looked into:
// here nobody does that at first.
func TestPacketsDoNotWaitForHandshakes(t *testing.T) {
	s := newStage(t, LinkConfig{}, 0)
	var log bytes.Buffer
	s.l.e.strangers.log = slog.New(slog.NewTextHandler(&log, nil))
	m := protocol.New(protocol.Config{PrivateKey: protocol.NewPrivateKey()})
	stranger, err := m.AddPeer(protocol.PeerConfig{PublicKey: s.l.e.PublicKey(), Endpoint: nearAddr})
	if err != nil {
		t.Fatal(err)
	}
	stranger.Initiate(s.now)
	initiation := stranger.Tick(s.now)[0]

	near, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.DialUDP("udp4", nil, near.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	socket := flow.NewSocket(near)
	var receiving sync.WaitGroup
	s.l.e.flow.Receive(socket, &receiving)
	dev := s.l.dev.(*flowtest.Device)
	for i := range 2 * maxWaiting {
		if i%10 > 0 {
			far.Write(initiation)
			continue
		}
		f := frame(100, byte(i))
		sealer, err := s.peer.Sealer(s.now, 1)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, protocol.Overhead+protocol.PaddedLen(100, DefaultMTU))
		copy(buf[protocol.HeaderLen:], f[tun.HeaderLen:])
		msg := sealer.Add(buf, 100, DefaultMTU)
		sealer.Seal()
		far.Write(msg)
		// Nine initiations came before it, and nothing more is sent until it is delivered.
		for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Microsecond) {
			if written, _ := dev.Take(); len(written) == 1 && bytes.Equal(written[0], f) {
				break
			} else if len(written) > 0 || time.Now().After(deadline) {
				t.Fatalf("packet %d: frames %x", i, written)
			}
		}
	}
	for deadline := time.Now().Add(patience); len(s.l.e.waiting) < maxWaiting; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d handshakes wait", len(s.l.e.waiting))
		}
	}
	socket.Close()
	receiving.Wait()
	if log.Len() > 0 {
		t.Errorf("log %q", &log)
	}
	n := &node{t: t, e: s.l.e}
	stop := n.run(s.l.e.Run)
	for deadline := time.Now().Add(patience); len(s.l.e.waiting) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody looks into handshakes")
		}
	}
	stop()
	if !strings.Contains(log.String(), "a stranger began a handshake") {
		t.Errorf("log %q", &log)
	}
}
