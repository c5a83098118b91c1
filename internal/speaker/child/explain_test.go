package child

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"warren/bgp"
	"warren/internal/speaker/wire"
)

// An answer that is too long for the daemon loses its last candidates, which are counted, and then its
// last neighbors.
func TestFitting(t *testing.T) {
	is := wire.Explained{Call: 7, Prefix: netip.MustParsePrefix("10.2.0.0/16"), More: 1}
	for i := range uint32(100) {
		is.Candidates = append(is.Candidates, wire.Candidate{ID: i + 1, Candidate: bgp.Candidate{Text: strings.Repeat("x", 500)}})
		is.Exports = append(is.Exports, wire.Export{ID: i + 1})
	}
	for _, most := range []int{1 << 20, 30 << 10, 2 << 10} {
		b, err := fitting(is, most)
		if err != nil || len(b) > most {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		_, payload, err := wire.NewReader(bytes.NewReader(b), most).Read()
		var got wire.Explained
		if err != nil || wire.Decode(payload, &got) != nil || got.Call != 7 || got.More+len(got.Candidates) != 101 {
			t.Errorf("at most %d bytes: %+v %v", most, got, err)
		}
		if whole := most == 1<<20; whole != (len(got.Candidates) == 100) || len(got.Candidates) > 0 && len(got.Exports) != 100 {
			t.Errorf("at most %d bytes: %d candidates, %d exports", most, len(got.Candidates), len(got.Exports))
		}
	}
}
