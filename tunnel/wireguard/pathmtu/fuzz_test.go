package pathmtu

import "testing"

// Whatever the peer sends, it is not read past its end, answered with more than a short
// packet, or both a probe and an answer.
func FuzzTake(f *testing.F) {
	for _, e := range []Ends{near4, near6} {
		p, err := e.swapped().Request(Small, Token{1, 2, 3})
		if err != nil {
			f.Fatal(err)
		}
		r, err := e.swapped().reply(Token{4})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
		f.Add(r)
	}
	told, err := TellSecret([SecretLen]byte{5})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(told)
	f.Fuzz(func(t *testing.T, p []byte) {
		IsICMP(p)
		if secret, ok := TakeSecret(p); !ok && secret != ([SecretLen]byte{}) {
			t.Errorf("no secret, and %x", secret)
		}
		for _, e := range []Ends{near4, near6, {}} {
			answer, token, answers := e.Take(p)
			if len(answer) > Small || answer != nil && answers || !answers && token != (Token{}) {
				t.Errorf("%v: %d bytes, %v, %v", e, len(answer), token, answers)
			}
		}
	})
}
