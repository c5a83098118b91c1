package wireguard

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"warren/tunnel/tun"
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

	r := newReceiver(s.l.e, nil)
	got := 0
	for i := range 2 * maxWaiting {
		a := newArrival()
		if i%10 > 0 {
			n := copy(a.buf[:], initiation)
			a.add(group{n: n, size: n, from: farAddr})
			r.open(a)
			continue
		}
		sealer, err := s.peer.Sealer(s.now, 1)
		if err != nil {
			t.Fatal(err)
		}
		f := frame(100, byte(i))[10:]
		copy(a.buf[protocol.HeaderLen:], f)
		n := len(sealer.Add(a.buf[:], len(f), DefaultMTU))
		sealer.Seal()
		a.add(group{n: n, size: n, from: farAddr})
		r.open(a)
		for _, j := range a.frames {
			if b := j.Flush(); !bytes.Equal(b[tun.HeaderLen:], f) {
				t.Errorf("frame %x", b)
			}
			got++
		}
	}
	if want := (2*maxWaiting + 9) / 10; got != want || len(s.l.e.waiting) != maxWaiting || log.Len() > 0 {
		t.Errorf("%d of %d packets; %d handshakes wait; log %q", got, want, len(s.l.e.waiting), &log)
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
