package aead

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// guard is between the messages of a test, and must not change.
const guard = 7

// check seals plaintexts and opens what comes of it, with one byte changed of those
// that are to be forged, and compares with x/crypto.
func check(t testing.TB, r *rand.Rand, plain [][]byte, forge func(i int) bool) {
	t.Helper()
	key := [KeyLen]byte(random(r, KeyLen))
	reference, err := chacha20poly1305.New(key[:])
	if err != nil {
		t.Fatal(err)
	}
	var buf, want []byte
	for _, p := range plain {
		nonce := random(r, NonceLen)
		sealed := reference.Seal(nil, nonce, p, nil)
		gap := random(r, guard)
		buf = slices.Concat(buf, nonce, p, random(r, Overhead), gap)
		want = slices.Concat(want, nonce, sealed, gap)
	}
	msgs := make([]Message, len(plain))
	for i, at := 0, 0; i < len(plain); i++ {
		body := at + NonceLen
		end := body + len(plain[i]) + Overhead
		msgs[i] = Message{Nonce: buf[at:body], Body: buf[body:end]}
		at = end + guard
	}
	k := NewKey(&key)
	k.Seal(msgs)
	if !bytes.Equal(buf, want) {
		t.Fatal("sealed otherwise than by x/crypto")
	}
	for i, m := range msgs {
		if forge(i) {
			m.Body[r.IntN(len(m.Body))] ^= 1 << r.IntN(8)
		}
	}
	k.Open(msgs)
	for i, m := range msgs {
		got := m.Body[:len(plain[i])]
		switch {
		case m.Forged != forge(i):
			t.Fatalf("message %d: forged %v", i, m.Forged)
		case m.Forged && len(got) > 0 && !bytes.Equal(got, make([]byte, len(got))):
			t.Fatalf("message %d: plaintext of a forgery", i)
		case !m.Forged && !bytes.Equal(got, plain[i]):
			t.Fatalf("message %d: another plaintext", i)
		}
	}
}

// run checks messages of some lengths, one of which is forged.
func run(t testing.TB, r *rand.Rand, lengths ...int) {
	t.Helper()
	plain := make([][]byte, len(lengths))
	for i, n := range lengths {
		plain[i] = random(r, n)
	}
	bad := r.IntN(len(plain))
	check(t, r, plain, func(i int) bool { return i == bad })
}

func TestAllLengths(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 2200 {
		run(t, r, slices.Repeat([]int{n}, 6+n%11)...)
	}
}

func TestAllCounts(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for count := 1; count < 70; count++ {
		run(t, r, slices.Repeat([]int{r.IntN(1500)}, count)...)
	}
}

func TestMixedLengths(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 300 {
		var lengths []int
		for range 1 + r.IntN(5) {
			lengths = slices.Concat(lengths, slices.Repeat([]int{r.IntN(300)}, 1+r.IntN(40)))
		}
		run(t, r, lengths...)
	}
}

func TestAllForged(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for _, n := range []int{0, 1, 64, 1420} {
		plain := make([][]byte, 40)
		for i := range plain {
			plain[i] = random(r, n)
		}
		check(t, r, plain, func(int) bool { return true })
		check(t, r, plain, func(int) bool { return false })
	}
}

func FuzzRun(f *testing.F) {
	f.Add(uint64(1), uint16(1420), uint8(45), uint16(100))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16, count uint8, last uint16) {
		r := rand.New(rand.NewPCG(seed, 0))
		lengths := slices.Repeat([]int{int(n) % 3000}, 1+int(count))
		lengths[len(lengths)-1] = int(last) % 3000
		run(t, r, lengths...)
	})
}

func BenchmarkSeal(b *testing.B) { benchmark(b, (*Key).Seal) }

// Opening: what is sealed again and again is a forgery, which takes no less.
func BenchmarkOpen(b *testing.B) { benchmark(b, (*Key).Open) }

func benchmark(b *testing.B, run func(*Key, []Message)) {
	for _, n := range []int{64, 1420} {
		for _, count := range []int{1, 6, 16, 45} {
			b.Run(fmt.Sprintf("%dx%d", count, n), func(b *testing.B) {
				k := NewKey(new([KeyLen]byte))
				msgs := make([]Message, count)
				size := 4 + NonceLen + n + Overhead
				buf := make([]byte, count*size)
				for i := range msgs {
					m := buf[i*size:][:size]
					msgs[i] = Message{Nonce: m[4 : 4+NonceLen], Body: m[4+NonceLen:]}
				}
				b.SetBytes(int64(n * count))
				b.ReportAllocs()
				for b.Loop() {
					run(k, msgs)
				}
			})
		}
	}
}
