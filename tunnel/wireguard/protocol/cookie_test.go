package protocol

import (
	"net/netip"
	"testing"
	"time"
)

// flood uses up what b answers without a cookie.
func (n *network) flood() {
	msg := make([]byte, initiationLen)
	msg[0] = typeInitiation
	mac := keyedMAC(n.b.p.ways[0].me.keys.mac1[:], msg[:initiationLen-macsLen])
	copy(msg[initiationLen-macsLen:], mac[:])
	for range 2 * defaultHandshakes {
		n.b.m.Receive(n.now, elsewhere, append([]byte(nil), msg...))
	}
}

func TestCookieUnderLoad(t *testing.T) {
	n := newNetwork(t)
	n.flood()
	n.a.p.Initiate(n.now)
	n.settle()
	if n.types(typeCookie) != 1 || n.types(typeResponse) != 0 {
		t.Fatalf("under load: %d cookies, %d responses", n.types(typeCookie), n.types(typeResponse))
	}
	if n.a.p.Status(n.now).Heard != (time.Time{}) {
		t.Error("a cookie counts as a sign of life")
	}
	sent := len(n.log)
	n.pass(rekeyTimeout - time.Millisecond)
	if len(n.log) != sent {
		t.Fatal("a cookie made the initiator send at once")
	}
	n.flood()
	n.pass(maxJitter + time.Millisecond)
	if n.types(typeCookie) != 1 || n.types(typeResponse) != 1 {
		t.Fatalf("with a cookie: %d cookies, %d responses", n.types(typeCookie), n.types(typeResponse))
	}
	n.exchange(1)
}

func TestCookieIsForOneAddressAndTime(t *testing.T) {
	var g guard
	k := NewPrivateKey().Public()
	keys := newMACKeys(&k)
	g.load.rate = 1
	s := stamper{keys: keys}
	msg := func(now time.Time) []byte { return s.stamp(now, make([]byte, initiationLen-macsLen)) }
	check := func(now time.Time, from netip.AddrPort, want verdict) {
		t.Helper()
		g.load.all = bucket{filled: now} // empty
		if got := g.check(now, from, msg(now)); got != want {
			t.Errorf("verdict %d, want %d", got, want)
		}
	}
	check(start, addrA, demandCookie)
	if err := s.take(start, parseCookie(g.reply(start, addrA, &keys, msg(start)))); err != nil {
		t.Fatal(err)
	}
	check(start, addrA, pass)
	check(start, addrB, demandCookie)
	check(start, netip.AddrPortFrom(addrA.Addr(), 1), demandCookie)
	check(start.Add(cookieLifetime-1), addrA, pass)
	check(start.Add(cookieLifetime), addrA, demandCookie)
}

func TestForgedCookies(t *testing.T) {
	n := newNetwork(t)
	n.flood()
	n.a.p.Initiate(n.now)
	reply := n.b.m.Receive(n.now, addrA, n.a.p.Tick(n.now)[0]).Reply
	if messageType(reply) != typeCookie {
		t.Fatalf("reply %x", reply)
	}
	for bit := range len(reply) * 8 {
		reply[bit/8] ^= 1 << (bit % 8)
		if n.deliver(n.a, addrB, reply) == nil {
			t.Fatalf("accepted with bit %d changed", bit)
		}
		reply[bit/8] ^= 1 << (bit % 8)
	}
	if err := n.deliver(n.a, elsewhere, reply); err != nil {
		t.Errorf("the true one: %v", err)
	}
	if err := n.deliver(n.a, addrB, reply); err == nil {
		t.Error("accepted twice")
	}
	if got := n.a.p.Status(n.now).Endpoint; got != addrB {
		t.Errorf("a cookie moved the endpoint to %v", got)
	}
}

func TestLoadEnds(t *testing.T) {
	l := load{rate: 10}
	now := start
	for i := range 10 {
		if l.under(now) {
			t.Fatalf("under load after %d messages", i)
		}
	}
	if !l.under(now) || !l.under(now.Add(calm-1)) {
		t.Fatal("not under load")
	}
	if l.under(now.Add(2 * calm)) {
		t.Fatal("still under load")
	}
}

func TestSourcesAreLimited(t *testing.T) {
	l := load{rate: 1e6}
	allowed := 0
	for i := range 100 {
		if l.allow(start, netip.AddrFrom16([16]byte{0x20, 1, 15: byte(i)})) {
			allowed++
		}
	}
	if allowed != sourceBurst {
		t.Errorf("one /64 got %d handshakes, want %d", allowed, sourceBurst)
	}
	for i := range 2 * maxSources {
		l.allow(start, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
	}
	if len(l.sources) > maxSources {
		t.Errorf("%d sources are remembered", len(l.sources))
	}
	if !l.allow(start.Add(sourceIdle), addrA.Addr()) || len(l.sources) != 1 {
		t.Errorf("%d sources are remembered after a pause", len(l.sources))
	}
	if !l.allow(start.Add(sourceIdle), netip.MustParseAddr("fe80::1%eth0")) {
		t.Error("an address with a zone is refused")
	}
}
