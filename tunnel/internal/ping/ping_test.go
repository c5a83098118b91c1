package ping

import (
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

// replyTo is what an honest peer makes of an echo.
func replyTo(t testing.TB, request []byte) []byte {
	t.Helper()
	m, err := icmp.ParseMessage(protoICMP, request)
	if err != nil {
		t.Fatal(err)
	}
	m.Type = ipv4.ICMPTypeEchoReply
	b, err := m.Marshal(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRepliesAreChecked(t *testing.T) {
	p := &Pinger{id: 0x1234}
	now := time.Unix(1000, 0)
	request, err := p.next(now)
	if err != nil {
		t.Fatal(err)
	}
	good := replyTo(t, request)
	if _, ok := p.check(request, now); ok {
		t.Error("a request counts as a reply")
	}
	for i := range good {
		if i == 2 || i == 3 {
			continue // the checksum, which the kernel has checked
		}
		bad := append([]byte(nil), good...)
		bad[i] ^= 1
		if _, ok := p.check(bad, now); ok {
			t.Errorf("byte %d does not matter", i)
		}
	}
	for n := range good {
		if _, ok := p.check(good[:n], now); ok {
			t.Errorf("the first %d bytes are enough", n)
		}
	}
	if rtt, ok := p.check(good, now.Add(5*time.Millisecond)); !ok || rtt != 5*time.Millisecond {
		t.Errorf("the reply: %v, %v", rtt, ok)
	}
	if _, ok := p.check(good, now); ok {
		t.Error("the reply counts twice")
	}

	late, err := p.next(now)
	if err != nil {
		t.Fatal(err)
	}
	for range inFlight {
		if _, err := p.next(now); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := p.check(replyTo(t, late), now); ok {
		t.Errorf("a reply counts after %d more echoes", inFlight)
	}
}

func FuzzReply(f *testing.F) {
	p := &Pinger{id: 0x1234}
	request, err := p.next(time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request, true)
	f.Add(replyTo(f, request)[:12], false)
	f.Fuzz(func(t *testing.T, b []byte, v6 bool) {
		q := &Pinger{v6: v6, id: 0x1234}
		if _, err := q.next(time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, ok := q.check(b, time.Now()); ok {
			t.Error("a token was guessed")
		}
	})
}
