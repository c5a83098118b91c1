package pathmtu

import "testing"

// TestRestartMessages: what one end says of its restart is known at the other, is no other message, and what another device's
// kernel makes of it is none.
func TestRestartMessages(t *testing.T) {
	for _, e := range []Ends{near4, near6} {
		for _, want := range []Restart{{Await, Token{1, 15: 2}}, {Awaits, Token{3, 15: 4}}, {Back, Token{5, 15: 6}}} {
			p, err := e.Restarting(want)
			if err != nil || !IsICMP(p) {
				t.Fatal(err)
			}
			if got, ok := e.swapped().TakeRestart(p); !ok || got != want {
				t.Errorf("%+v, %v; want %+v", got, ok, want)
			}
			if got, ok := e.TakeRestart(p); ok {
				t.Errorf("of the other end: %+v", got)
			}
			if got, ok := e.swapped().TakeRestart(p[:len(p)-1]); ok {
				t.Errorf("cut off: %+v", got)
			}
			if answer, _, answers := e.swapped().Take(p); answer != nil || answers {
				t.Errorf("%+v is a probe", want)
			}
			if m, ok := e.swapped().TakeAssign(p); ok {
				t.Errorf("%+v is %+v", want, m)
			}
			if want.Word == Awaits {
				continue
			}
			if got, ok := e.TakeRestart(kernelReply(t, e, p)); ok {
				t.Errorf("the question itself: %+v", got)
			}
		}
		probe, _ := e.Request(Small, Token{7})
		if got, ok := e.swapped().TakeRestart(probe); ok {
			t.Errorf("a probe: %+v", got)
		}
	}
}
