package pathmtu

import (
	"net/netip"
	"testing"
)

// A probe without its IP header, and the answer that a kernel makes of it, or as much of that as was read.
func TestMessage(t *testing.T) {
	for _, c := range []struct {
		ends           Ends
		headers, reply int
	}{
		{Ends{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}, 20, 0},
		{Ends{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")}, 40, 129},
	} {
		want := Token{1, 2, 3}
		m, err := c.ends.Message(1300, want)
		if err != nil || len(m) != 1300-c.headers {
			t.Fatalf("%v: %d bytes, %v", c.ends, len(m), err)
		}
		if _, ok := TakeMessage(m); ok {
			t.Error("a question is an answer")
		}
		m[0] = byte(c.reply)
		for _, n := range []int{len(m), icmpLen + payloadLen} {
			if got, ok := TakeMessage(m[:n]); !ok || got != want {
				t.Errorf("%d bytes: %v, %v", n, got, ok)
			}
		}
		for n := range icmpLen + payloadLen {
			if _, ok := TakeMessage(m[:n]); ok {
				t.Errorf("%d bytes are an answer", n)
			}
		}
		m[icmpLen]++
		if _, ok := TakeMessage(m); ok {
			t.Error("another program's echo is an answer")
		}
	}
}
