package flow

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"warren/tunnel/internal/ecn"
	"warren/tunnel/tun"
	"warren/tunnel/wireguard/flow/flowtest"
	"warren/tunnel/wireguard/protocol"
)

// Packets are made frames where they lie, whatever else lies between them, whether they
// came with one receive or with several.
func TestBatchOfMany(t *testing.T) {
	for _, together := range []bool{true, false} {
		t.Run(fmt.Sprintf("together=%v", together), func(t *testing.T) { testBatchOfMany(t, together) })
	}
}

func testBatchOfMany(t *testing.T, together bool) {
	near, far := newPair(t, nearAddr, farAddr)
	stranger, err := protocol.New(protocol.Config{PrivateKey: protocol.NewPrivateKey()}).
		AddPeer(protocol.PeerConfig{PublicKey: near.key.Public(), Endpoint: nearAddr})
	if err != nil {
		t.Fatal(err)
	}
	stranger.Initiate(time.Now())
	initiation := stranger.Tick(time.Now())[0]

	const longest = 148 - protocol.Overhead // so that data, padded, is as long as an initiation
	var want [][]byte
	data := func(n int) []byte {
		f := flowtest.UDP(n, byte(len(want)))
		want = append(want, f)
		return far.seal(f, longest)
	}
	forged := slices.Clone(data(longest))
	forged[50] ^= 1
	want = nil
	messages := [][]byte{initiation, data(longest), data(longest - 3), forged, initiation, initiation, data(longest), forged, data(60)}
	a := newInboundBatch()
	n := 0
	for _, msg := range messages {
		n += copy(a.buf[n:], msg)
		if !together {
			a.add(datagrams{n: len(msg), size: len(msg), from: farAddr})
		}
	}
	if together {
		a.add(datagrams{n: n, size: len(initiation), from: farAddr})
	}
	if a.n != n || n <= 8*len(initiation) {
		t.Fatalf("%d of %d bytes: not all but the last are of one size", a.n, n)
	}
	newInbound(near.f, nil, nil).open(a)
	if len(a.frames) != len(want) || near.handshakes != 3 {
		t.Fatalf("%d frames, want %d; %d handshakes wait", len(a.frames), len(want), near.handshakes)
	}
	for i := range a.frames {
		if got := a.frames[i].Flush(); !bytes.Equal(got, want[i]) {
			t.Errorf("frame %d is\n%x, want\n%x", i, got, want[i])
		}
	}
}

func TestGroups(t *testing.T) {
	one := func(n int) datagrams { return datagrams{n: n, size: n, from: farAddr} }
	elsewhere, moved, marked := one(100), one(100), one(100)
	marked.ecn = ecn.CE
	elsewhere.from = nearAddr
	moved.local = netip.MustParseAddr("192.0.2.9")
	for _, c := range []struct {
		name   string
		groups []datagrams
		want   []int // bytes of each
	}{
		{"alike", []datagrams{one(100), one(100), one(100)}, []int{300}},
		{"joined by the kernel", []datagrams{{n: 250, size: 100, from: farAddr}, one(100)}, []int{250, 100}},
		{"whole ones joined by the kernel", []datagrams{{n: 200, size: 100, from: farAddr}, {n: 250, size: 100, from: farAddr}}, []int{450}},
		{"a shorter one ends it", []datagrams{one(100), one(60), one(60)}, []int{160, 60}},
		{"a longer one begins another", []datagrams{one(60), one(100)}, []int{60, 100}},
		{"several shorter ones", []datagrams{one(100), {n: 120, size: 60, from: farAddr}}, []int{100, 120}},
		{"another sender", []datagrams{one(100), elsewhere}, []int{100, 100}},
		{"another address of ours", []datagrams{one(100), moved}, []int{100, 100}},
		{"another mark", []datagrams{one(100), marked, marked, one(100)}, []int{100, 200, 100}},
	} {
		a := newInboundBatch()
		total := 0
		for _, g := range c.groups {
			a.add(g)
			total += g.n
		}
		var got []int
		for _, g := range a.groups {
			got = append(got, g.n)
		}
		if !slices.Equal(got, c.want) || a.n != total {
			t.Errorf("%s: groups of %v bytes, %d in all; want %v", c.name, got, a.n, c.want)
		}
		a.release()
	}
}

// inboundFixture returns an inbound and what sends datagrams to its socket.
func inboundFixture(t *testing.T) (*inbound, func(lengths ...int)) {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	// What the kernel has no room for would be waited for.
	if err := errors.Join(c.SetReadBuffer(receiveBuffer), c.SetReadDeadline(time.Now().Add(patience))); err != nil {
		t.Fatal(err)
	}
	far, err := net.DialUDP("udp4", nil, c.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	running := new(sync.WaitGroup)
	t.Cleanup(func() {
		c.Close()
		far.Close()
		running.Wait()
	})
	return newInbound(newEnd(t).f, NewSocket(c), running), func(lengths ...int) {
		t.Helper()
		for i, n := range lengths {
			if _, err := far.Write(bytes.Repeat([]byte{byte(i)}, n)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What waits already is received at once, even if each datagram has come alone.
func TestInboundTakesWhatWaits(t *testing.T) {
	r, send := inboundFixture(t)
	deadline := time.Now().Add(patience)
	lengths := []int{0, 100, 100, 100, 50, 0, 100}
	for range 100 { // until all were there before the first was received
		send(lengths...)
		var got []byte
		var groups []int
		for len(got) < 450 {
			a, _, _ := r.read()
			if time.Now().After(deadline) {
				t.Fatalf("%d bytes arrived", len(got))
			}
			got = append(got, a.buf[:a.n]...)
			for _, g := range a.groups {
				groups = append(groups, g.n)
			}
			a.release()
		}
		var want []byte
		for i, n := range lengths {
			want = append(want, bytes.Repeat([]byte{byte(i)}, n)...)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("received %x", got)
		}
		if slices.Equal(groups, []int{350, 100}) {
			return
		}
	}
	t.Error("never were all received at once")
}

// What is waited for does not wait for more.
func TestInboundHandsOnTheFirst(t *testing.T) {
	r, send := inboundFixture(t)
	fill := func() (something bool) {
		if err := r.s.raw.Control(func(fd uintptr) { something = r.fillOnce(fd) }); err != nil {
			t.Fatal(err)
		}
		return something
	}
	if fill() || !r.waited {
		t.Fatal("there is something before anything was sent")
	}
	send(100, 100, 100)
	if err := r.s.raw.Read(func(uintptr) bool { return r.s.state.Readable() }); err != nil {
		t.Fatal(err)
	}
	if !fill() || r.next.n != 100 {
		t.Errorf("%d bytes, want those of one datagram", r.next.n)
	}
}

// No more is received at once than others can help with.
func TestInboundLeavesTheRest(t *testing.T) {
	r, send := inboundFixture(t)
	const size, count = 1452, 40
	send(slices.Repeat([]int{size}, count)...)
	for got := 0; got < count*size; {
		a, _, _ := r.read()
		if a.n >= worthwhile+size || a.n == 0 {
			t.Fatalf("%d bytes at once", a.n)
		}
		got += a.n
		a.release()
	}
	send(slices.Repeat([]int{1}, 2*maxReceives)...)
	for got := 0; got < 2*maxReceives; {
		a, _, _ := r.read()
		if a.n > maxReceives || a.n == 0 {
			t.Fatalf("%d datagrams at once", a.n)
		}
		got += a.n
		a.release()
	}
}

// What the peer sends and is no packet counts as one that was not delivered.
func TestNoPacketIsCounted(t *testing.T) {
	near, far := newPair(t, nearAddr, farAddr)
	garbage := flowtest.UDP(40, 0)
	garbage[tun.HeaderLen] = 0x75 // a version of IP that does not exist
	a := newInboundBatch()
	n := copy(a.buf[:], far.seal(garbage, mtu))
	a.add(datagrams{n: n, size: n, from: farAddr})
	newInbound(near.f, nil, nil).open(a)
	if got := near.tunnel.Counters.Stats(); got.Drops != 1 || got.RxPackets != 0 {
		t.Errorf("%+v", got)
	}
}
