package tunnel

import (
	"net/netip"
	"slices"
	"testing"
)

func TestAssignedSurvivesTheWire(t *testing.T) {
	var many []netip.Addr
	for i := range MaxAssigned {
		many = append(many, netip.AddrFrom4([4]byte{10, 100, 100, byte(i)}))
	}
	for _, want := range [][]netip.Addr{{}, {netip.MustParseAddr("10.100.100.25"), netip.MustParseAddr("2001:db8::25")}, many} {
		b := AppendAssigned(nil, want)
		got, err := ParseAssigned(append(b, "of a later version"...))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
		for n := range b {
			if got, err := ParseAssigned(b[:n]); err == nil {
				t.Errorf("%d of %d bytes: %v", n, len(b), got)
			}
		}
		if got, err := ParseAssigned(AppendAssigned(nil, append(many, want...))); err == nil && len(want) > 0 {
			t.Errorf("too many: %v", got)
		}
	}
	if got, err := ParseAssigned([]byte{1, 5, 1, 2, 3, 4, 5}); err == nil {
		t.Errorf("an address of five bytes: %v", got)
	}
}
