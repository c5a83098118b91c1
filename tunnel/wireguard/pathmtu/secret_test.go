package pathmtu

import "testing"

// A secret is read as it was told, and by nobody who asks for something else. No kernel answers it, and none that is cut off, or comes
// as a question, is one.
func TestSecretMessage(t *testing.T) {
	want := [SecretLen]byte{1, 31: 2}
	p, err := TellSecret(want)
	if err != nil || !IsICMP(p) {
		t.Fatal(err)
	}
	if got, ok := TakeSecret(p); !ok || got != want {
		t.Errorf("%v, %v", got, ok)
	}
	for n := range p {
		if _, ok := TakeSecret(p[:n]); ok {
			t.Fatalf("%d of %d bytes are a secret", n, len(p))
		}
	}
	if _, ok := TakeSecret(append(p[:len(p):len(p)], 0)); ok {
		t.Error("a longer one is a secret")
	}
	asked, err := meeting.swapped().echo(magicSecret, true, Token{}, want[:])
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := TakeSecret(asked); ok {
		t.Error("a question is a secret")
	}
	if answer, _, answers := meeting.Take(p); answer != nil || answers {
		t.Error("a secret is a probe")
	}
	if _, ok := meeting.TakeAssign(p); ok {
		t.Error("a secret is about addresses")
	}
	for _, e := range []Ends{near4, near6, meeting} {
		probe, err := e.swapped().Request(Small, Token{1})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := TakeSecret(probe); ok {
			t.Error("a probe is a secret")
		}
	}
}
