package pathmtu

import (
	"net/netip"
	"slices"
	"testing"

	"warren/tunnel"
)

// TestAssignMessages: a question and its answer are known at the other end, and neither is a
// probe, nor is what another device's kernel makes of the question an answer.
func TestAssignMessages(t *testing.T) {
	var many []netip.Addr
	for i := range tunnel.MaxAssigned {
		many = append(many, netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i)}))
	}
	for _, e := range []Ends{near4, near6} {
		token := Token{1, 15: 2}
		ask, err := e.AskAssigned(token)
		if err != nil || !IsICMP(ask) {
			t.Fatal(err)
		}
		if m, ok := e.swapped().TakeAssign(ask); !ok || !m.Asks || m.Token != token {
			t.Errorf("%+v, %v", m, ok)
		}
		for _, want := range [][]netip.Addr{nil, many} {
			tell, err := e.swapped().TellAssigned(token, want)
			if err != nil || !IsICMP(tell) || len(tell) > 1280 {
				t.Fatalf("%d bytes, %v", len(tell), err)
			}
			m, ok := e.TakeAssign(tell)
			if !ok || m.Asks || m.Token != token || !slices.Equal(m.Assigned, want) {
				t.Errorf("%+v, %v", m, ok)
			}
			if m, ok := e.TakeAssign(tell[:len(tell)-1]); ok {
				t.Errorf("cut off: %+v", m)
			}
			if m, ok := e.swapped().TakeAssign(tell); ok {
				t.Errorf("of the other end: %+v", m)
			}
			if _, _, answers := e.Take(tell); answers {
				t.Error("an answer is one to a probe")
			}
		}
		if answer, _, answers := e.swapped().Take(ask); answer != nil || answers {
			t.Error("a question is a probe")
		}
		if m, ok := e.TakeAssign(kernelReply(t, e, ask)); ok {
			t.Errorf("the question itself: %+v", m)
		}
		probe, _ := e.Request(Small, token)
		if m, ok := e.swapped().TakeAssign(probe); ok {
			t.Errorf("a probe: %+v", m)
		}
	}
}
