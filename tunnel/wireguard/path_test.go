package wireguard

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"

	"warren/tunnel/tun"
	"warren/tunnel/wireguard/flow/flowtest"
	"warren/tunnel/wireguard/pathmtu"
	"warren/tunnel/wireguard/protocol"
)

// newNarrowPair returns two ends that are up, on a path on which packets in the tunnel of more
// than some bytes vanish.
func newNarrowPair(t *testing.T, passes int) (a, b *end) {
	t.Helper()
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	addrA, addrB := netip.MustParseAddr("fe80::a%a"), netip.MustParseAddr("fe80::b%b")
	c := LinkConfig{
		Name: "a", PublicKey: keyA.Public(), Keepalive: time.Second, DeadAfter: patience,
		LocalAddress: addrB, PeerAddress: addrA,
	}
	b = startEnd(t, keyB, c)
	path := newWire(t, b.addr("127.0.0.1"))
	path.longest.Store(int32(protocol.Overhead + passes))
	c.Name, c.PublicKey, c.LocalAddress, c.PeerAddress, c.Remotes = "b", keyB.Public(), addrA, addrB, []string{path.addr}
	a = startEnd(t, keyA, c)
	a.next(true)
	b.next(true)
	return a, b
}

// Where less passes than IPv6 demands of the interface, IPv4 senders are told by ICMP.
func TestLargePacketsBelowIPv6sMinimumAreRefused(t *testing.T) {
	const passes = 1000
	a, b := newNarrowPair(t, passes)
	waitFor(t, func() bool { return a.l.flow.Limit.Load() == passes && b.l.flow.Limit.Load() == passes }, func() any { return a.l.Status() })
	// What another transport carries by the interface is told too: the MTU is larger.
	waitFor(t, func() bool { return a.dev.LimitedTo() == passes && a.dev.SetTo() == pathmtu.Base }, func() any { return a.dev.LimitedTo() })
	large, fits, fragments := frame(passes+1, 1), frame(passes, 2), frame(passes+1, 3)
	for i, f := range [][]byte{large, fits} {
		p := f[tun.HeaderLen:]
		p[6] = 0x40 // don't fragment
		copy(p[12:], []byte{10, 0, 0, 1, 10, 0, 0, byte(2 + i)})
	}
	a.dev.Frames <- large
	a.dev.Frames <- fragments // is lost on the path
	a.dev.Frames <- fits
	b.arrives(fits)
	written, _ := a.dev.Take()
	if len(written) != 1 {
		t.Fatalf("%d frames were written, want an ICMP error", len(written))
	}
	p := written[0][tun.HeaderLen:]
	h, err := icmp.ParseIPv4Header(p)
	if err != nil || h.Dst.String() != "10.0.0.1" || h.Src.String() != "10.0.0.2" || h.TotalLen != len(p) {
		t.Fatalf("%+v, %v", h, err)
	}
	m, err := icmp.ParseMessage(1, p[20:])
	if err != nil || m.Type != ipv4.ICMPTypeDestinationUnreachable || m.Code != 4 || binary.BigEndian.Uint16(p[26:]) != passes ||
		!bytes.Equal(p[28:56], large[tun.HeaderLen:][:28]) {
		t.Errorf("%+v, %v, % x", m, err, p)
	}
	if s := a.l.Status(); s.Stats.Drops != 1 {
		t.Errorf("%d drops, want 1", s.Stats.Drops)
	}
}

// Between two Warrens, over a path that drops large datagrams and says nothing: each end
// finds the size that passes, clamps its interface and what TCP offers, and says so; the
// probes reach neither interface.
func TestLargePacketsVanish(t *testing.T) {
	const passes = 1347
	a, b := newNarrowPair(t, passes)
	for _, n := range []*end{a, b} {
		waitFor(t, func() bool {
			return n.l.Status().MTU == passes && strings.Contains(n.l.Status().Hint, "clamped to packets of 1347 bytes")
		},
			func() any { return n.l.Status() })
		if written, _ := n.dev.Take(); n.dev.SetTo() != passes || len(written) > 0 {
			t.Errorf("%s: the interface has an MTU of %d, and %d packets were written to it", n.dev.Name(), n.dev.SetTo(), len(written))
		}
		if s := n.l.Status(); s.Stats.Drops > 0 || s.LastError != "" {
			t.Errorf("%+v", s)
		}
	}
	// What is as large as it may be passes, whatever is padded, and SYNs offer no more.
	for _, size := range []int{passes, passes - 1, passes - 15} {
		a.dev.Frames <- frame(size, 7)
		b.arrives(frame(size, 7))
	}
	a.dev.Frames <- syn(1400)
	b.arrives(syn(passes - 40))
}

// syn is an IPv4 SYN with an MSS option, behind an empty header.
func syn(mss uint16) []byte {
	f := frame(44, 0)
	p := f[tun.HeaderLen:]
	p[9], p[32], p[33], p[40], p[41] = 6, 6<<4, 2, 2, 4
	binary.BigEndian.PutUint16(p[42:], mss)
	sum := uint32(0)
	for i := 20; i < 44; i += 2 { // the addresses are zero
		if i != 36 {
			sum += uint32(binary.BigEndian.Uint16(p[i:]))
		}
	}
	sum += 6 + 24
	binary.BigEndian.PutUint16(p[36:], ^uint16(sum>>16+sum&0xffff))
	return f
}

func waitFor(t *testing.T, ok func() bool, explain func() any) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", explain())
		}
	}
}

// An end that answers no probes, as an older Warren does behind a firewall, is as before:
// nothing is clamped, and it is asked seldom.
func TestPeerThatAnswersNoProbes(t *testing.T) {
	s := newStage(t, LinkConfig{
		Keepalive: time.Second, DeadAfter: 10 * time.Second, LocalAddress: netip.MustParseAddr("fe80::1"),
	}, time.Second)
	s.pass(time.Minute)
	before := s.heard
	s.pass(time.Hour)
	if n := s.heard - before; n > 3600+3*12 {
		t.Errorf("%d messages in an hour", n)
	}
	if st := s.l.Status(); st.MTU != DefaultMTU || st.Hint != "" {
		t.Errorf("%+v", st)
	}
}

// What is found below 1280 bytes leaves IPv6 its interface.
func TestPathNarrowerThanIPv6Demands(t *testing.T) {
	s := newStage(t, LinkConfig{
		Keepalive: time.Second, DeadAfter: 10 * time.Second, LocalAddress: netip.MustParseAddr("fe80::1"),
	}, time.Second)
	s.l.path.search = pathmtu.New(DefaultMTU)
	play := func(passes int) {
		for end := s.now.Add(30 * time.Second); s.now.Before(end); {
			s.now = s.l.path.search.Due()
			for _, size := range s.l.path.search.Tick(s.now) {
				if size <= passes {
					s.l.path.search.Answered(s.now, size)
				}
			}
			s.l.clamp()
		}
	}
	s.l.path.search.Restart(s.now)
	play(1000)
	if st := s.l.Status(); s.l.flow.Limit.Load() != 1000 || st.MTU != 1280 || s.l.dev.(*flowtest.Device).SetTo() != 1280 || !strings.Contains(st.Hint, "TCP in the tunnel is clamped to packets of 1000 bytes") {
		t.Errorf("limit %d, %+v", s.l.flow.Limit.Load(), st)
	}
	s.now = s.now.Add(time.Minute)
	s.l.path.search.Restart(s.now)
	play(1500)
	if st := s.l.Status(); s.l.flow.Limit.Load() != DefaultMTU || st.MTU != DefaultMTU || s.l.dev.(*flowtest.Device).SetTo() != DefaultMTU || st.Hint != "" {
		t.Errorf("limit %d, %+v", s.l.flow.Limit.Load(), st)
	}
}
