package pathmtu

import "testing"

// TestNotices: what one end says of itself is known at the other, is no other message, and what another device's
// kernel makes of it is none.
func TestNotices(t *testing.T) {
	for _, e := range []Ends{near4, near6} {
		for _, want := range []Notice{{Await, Token{1, 15: 2}}, {Awaits, Token{3, 15: 4}}, {Back, Token{5, 15: 6}}, Leaving(7), {Lost, Token{8, 15: 9}}, {Knows, Token{10, 15: 11}}} {
			p, err := e.Notice(want)
			if err != nil || !IsICMP(p) {
				t.Fatal(err)
			}
			if got, ok := e.swapped().TakeNotice(p); !ok || got != want {
				t.Errorf("%+v, %v; want %+v", got, ok, want)
			}
			if got, ok := e.TakeNotice(p); ok {
				t.Errorf("of the other end: %+v", got)
			}
			if got, ok := e.swapped().TakeNotice(p[:len(p)-1]); ok {
				t.Errorf("cut off: %+v", got)
			}
			if answer, _, answers := e.swapped().Take(p); answer != nil || answers {
				t.Errorf("%+v is a probe", want)
			}
			if m, ok := e.swapped().TakeAssign(p); ok {
				t.Errorf("%+v is %+v", want, m)
			}
			if words[want.Word].answer {
				continue
			}
			if got, ok := e.TakeNotice(kernelReply(t, e, p)); ok {
				t.Errorf("the question itself: %+v", got)
			}
		}
		probe, _ := e.Request(Small, Token{7})
		if got, ok := e.swapped().TakeNotice(probe); ok {
			t.Errorf("a probe: %+v", got)
		}
	}
}

// TestNoticeOfLeaving: which session was left is told.
func TestNoticeOfLeaving(t *testing.T) {
	if n := Leaving(7); !n.IsOf(7) || n.IsOf(8) {
		t.Errorf("%+v", n)
	}
}

// TestForgedNotices: what another program of this machine would say in this end's name is known, and nothing else is taken for it.
func TestForgedNotices(t *testing.T) {
	for _, e := range []Ends{near4, near6} {
		for _, n := range []Notice{{Await, Token{1}}, {Awaits, Token{2}}, {Back, Token{3}}, Leaving(4), {Lost, Token{5}}, {Knows, Token{6}}} {
			p, err := e.Notice(n)
			if err != nil {
				t.Fatal(err)
			}
			if !e.IsForged(p) {
				t.Errorf("%+v is said", n)
			}
			if e.swapped().IsForged(p) || (Ends{}).IsForged(p) {
				t.Errorf("%+v of another end is taken for this one's", n)
			}
		}
		secret, err := TellSecret([SecretLen]byte{5})
		if err != nil || !e.IsForged(secret) {
			t.Errorf("a secret is told: %v", err)
		}
		probe, err := e.Request(Small, Token{5})
		if err != nil || e.IsForged(probe) {
			t.Errorf("an echo is no notice: %v", err)
		}
	}
}
