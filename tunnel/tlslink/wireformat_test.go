package tlslink

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/tun"
)

func sampleHello() hello {
	return hello{
		link: 7, identity: tunnel.Identity{1, 2}, instance: [16]byte{3}, generation: 4, session: [16]byte{5},
		lane: 1, lanes: 4, offload: tun.Checksum | tun.TSO4, mtu: 1500, maxFrame: tun.MaxFrame,
		keepalive: time.Second, deadAfter: 3 * time.Second, flags: flagWidens | flagAssigns,
		assigned: []netip.Addr{netip.MustParseAddr("10.100.100.25"), netip.MustParseAddr("2001:db8::25")},
	}
}

func TestHelloSurvivesTheWire(t *testing.T) {
	want := sampleHello()
	for _, more := range []string{"", "of a later version"} {
		got, err := parseHello(append(want.marshal(), more...))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
	}
}

func TestHelloOfTheFirstVersions(t *testing.T) {
	want := sampleHello()
	got, err := parseHello(want.marshal()[:helloLen])
	want.flags, want.assigned = 0, nil
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v; want %+v", got, err, want)
	}
}

func TestBadHellosAreRefused(t *testing.T) {
	good := sampleHello()
	for name, b := range map[string][]byte{
		"empty":         nil,
		"short":         good.marshal()[:helloLen-1],
		"long":          append(good.marshal(), make([]byte, maxHello)...),
		"other version": append([]byte{9}, good.marshal()[1:]...),
		"lane":          func() []byte { h := good; h.lane = 4; return h.marshal() }(),
		"no lanes":      func() []byte { h := good; h.lane, h.lanes = 0, 0; return h.marshal() }(),
		"too many assigned": func() []byte {
			h := good
			h.assigned = make([]netip.Addr, tunnel.MaxAssigned+1)
			return h.marshal()
		}(),
		"assigned cut off": good.marshal()[:helloLen+3],
		"tiny frames":      func() []byte { h := good; h.maxFrame = 100; return h.marshal() }(),
	} {
		if h, err := parseHello(b); err == nil {
			t.Errorf("%s: %+v", name, h)
		}
	}
}

func FuzzHello(f *testing.F) {
	h := sampleHello()
	f.Add(h.marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHello(b)
		if err != nil {
			return
		}
		if again := h.marshal(); !bytes.Equal(again[:helloLen-8], b[:helloLen-8]) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

// FuzzFrames sends bytes as an authenticated peer could.
func FuzzFrames(f *testing.F) {
	data := encode(frameData, packet(100))
	f.Add(data)
	f.Add(append(encode(framePing, make([]byte, 8)), encode(frameClose, []byte("bye\x00\xff"))...))
	f.Add([]byte{frameData, 0xff, 0xff, 0xff})
	f.Add(encode(framePong, bytes.Repeat([]byte{0xff}, 8)))
	f.Add(encode(frameHello, nil))
	f.Add(encode(frameWiden, nil))
	f.Add(encode(frameDone, nil))
	f.Add(encode(frameRenew, []byte{0}))
	f.Add(encode(frameRestart, nil))
	f.Add(encode(frameHeard, make([]byte, heardLen)))
	f.Add(encode(frameSecret, make([]byte, SecretLen)))
	f.Add(encode(frameLost, make([]byte, lostLen)))
	over := make(chan struct{})
	close(over) // nobody waits for what is told of a restart
	f.Fuzz(func(t *testing.T, b []byte) {
		dev := newFakeDevice("f0", 1)
		l := newLink(NewEndpoint(Config{}), LinkConfig{Device: dev}, []*credential{{}})
		ln := &lane{s: &session{link: l, control: make(chan []byte, 8), done: over}, wire: &wire{proof: proof{cred: &credential{invited: tunnel.Joined}}}}
		err := ln.receiveFrom(bytes.NewReader(b))
		if err == nil {
			t.Fatal("no error at the end")
		}
		written, _, _ := dev.snapshot()
		for _, w := range written {
			if err := tun.Check(bytes.Clone(w), dev.MTU()); err != nil {
				t.Fatalf("%x reached the kernel: %v", w, err)
			}
		}
	})
}

func TestHostileFramesEndTheSession(t *testing.T) {
	for name, b := range map[string][]byte{
		"unknown type":   {99, 0, 0, 0},
		"type 0":         {0, 0, 0, 0},
		"oversized data": {frameData, 1, 0, 0x0a},
		"oversized text": {frameClose, 0, 2, 0},
		"short ping":     {framePing, 0, 0, 7},
		"second hello":   encode(frameHello, nil),
		"long wish":      {frameWiden, 0, 0, 1},
	} {
		ln := &lane{s: &session{link: newLink(NewEndpoint(Config{}), LinkConfig{Device: newFakeDevice("x", 1)}, []*credential{{}})}}
		var p protocolError
		if err := ln.receiveFrom(bytes.NewReader(b)); !errors.As(err, &p) {
			t.Errorf("%s: %v, want a protocol error", name, err)
		}
	}
}

// A peer's nonsense inside a frame is dropped and counted; the session stays.
func TestNonsensePacketsAreDropped(t *testing.T) {
	dev := newFakeDevice("x", 1)
	l := newLink(NewEndpoint(Config{}), LinkConfig{Device: dev}, []*credential{{}})
	ln := &lane{s: &session{link: l}}
	bad := packet(100)
	bad[tun.HeaderLen] = 0x95
	b := append(encode(frameData, bad), encode(frameData, packet(100))...)
	ln.receiveFrom(bytes.NewReader(append(b, encode(frameData, nil)...)))
	if written, _, _ := dev.snapshot(); len(written) != 1 || l.Status().Stats.Drops != 2 || l.Status().Stats.RxPackets != 1 {
		t.Fatalf("%d written, %+v; want 1 written and 2 dropped", len(written), l.Status().Stats)
	}
}

func TestTextFromThePeerIsCleaned(t *testing.T) {
	if got := clean([]byte("a\x1b[31m\n\xffb")); got != "a?[31m??b" {
		t.Fatalf("%q", got)
	}
	if got := clean(bytes.Repeat([]byte("x"), 1000)); len(got) != maxText {
		t.Fatalf("%d bytes", len(got))
	}
}
