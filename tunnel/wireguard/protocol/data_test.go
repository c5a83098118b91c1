package protocol

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Messages of two sessions, twice, forged or out of order, received in runs: each packet
// comes out once, and nothing else does.
func TestReceiveRun(t *testing.T) {
	const packetLen, size = 64, Overhead + 64
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		n := newNetwork(t)
		type sent struct {
			msg    []byte
			packet []byte // nil: it is forged
		}
		var all []sent
		for session := range 2 {
			n.a.p.Initiate(n.now)
			n.settle()
			sealer, err := n.a.p.Sealer(n.now, 40)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 40 {
				p := packet(packetLen, byte(40*session+i))
				buf := make([]byte, size)
				s := sent{sealOne(&sealer, buf, copy(buf[HeaderLen:], p), packetLen), p}
				switch rnd.IntN(6) {
				case 0: // of another type, session, counter or content
					s.msg[rnd.IntN(size)] ^= 1
					s.packet = nil
				case 1:
					all = append(all, sent{slices.Clone(s.msg), p})
				}
				all = append(all, s)
			}
			n.pass(rekeyTimeout)
		}
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })

		var run []byte
		for _, s := range all {
			run = append(run, s.msg...)
		}
		run = append(run, all[0].msg[:size/2]...) // the last may be shorter
		got := n.b.m.ReceiveRun(n.now, addrB, run, size, nil)
		if len(got) != len(all)+1 || got[len(all)].Err == nil {
			t.Fatalf("seed %d: %d results", seed, len(got))
		}
		seen := map[byte]bool{}
		for i, s := range all {
			want := s.packet
			if want != nil && seen[want[len(want)-1]] {
				want = nil
			}
			if !bytes.Equal(got[i].Packet, want) || (want == nil) != (got[i].Err != nil) || (want == nil) != (got[i].Peer == nil) {
				t.Fatalf("seed %d, message %d: %+v, want %x", seed, i, got[i], want)
			}
			if want != nil {
				seen[want[len(want)-1]] = true
			}
		}
		if s := n.b.p.Status(n.now); s.Heard != n.now || s.Endpoint != addrB {
			t.Fatalf("seed %d: %+v", seed, s)
		}
	}
}

// Of a run that is data, the second packet matters to the passive keepalive: see timers.
func TestReceiveRunArmsKeepalive(t *testing.T) {
	n := newNetwork(t)
	n.a.p.Initiate(n.now)
	n.settle()
	n.pass(time.Second)
	var run []byte
	for i := range 3 {
		run = append(run, n.mustSeal(n.a, packet(20, byte(i)))...)
	}
	n.b.m.ReceiveRun(n.now, addrA, run, len(run)/3, nil)
	before := len(n.log)
	n.pass(2*keepaliveTimeout + time.Second)
	if sent := len(n.log) - before; sent != 2 {
		t.Errorf("%d messages, want two keepalives", sent)
	}
}

// What the peer has sent, and what of it has come, the counters say, whatever the order and the session.
func TestSentAndGot(t *testing.T) {
	n := newNetwork(t)
	var before Status
	for session := range 2 {
		n.a.p.Initiate(n.now)
		n.settle()
		var msgs [][]byte
		for i := range 100 {
			msgs = append(msgs, n.mustSeal(n.a, packet(20, byte(i))))
		}
		before = n.b.p.Status(n.now)
		msgs[10], msgs[20] = msgs[20], msgs[10]
		for i, msg := range msgs {
			if i%10 != 5 || i > 90 { // nine get lost
				n.b.m.Receive(n.now, addrA, slices.Clone(msg))
				n.b.m.Receive(n.now, addrA, msg) // once
			}
		}
		after := n.b.p.Status(n.now)
		if sent, got := after.Sent-before.Sent, after.Got-before.Got; sent != 100 || got != 91 {
			t.Fatalf("session %d: %d were sent and %d came", session, sent, got)
		}
		n.pass(rekeyTimeout)
	}
}
