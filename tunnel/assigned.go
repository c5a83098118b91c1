package tunnel

import (
	"errors"
	"fmt"
	"net/netip"
)

// MaxAssigned is how many addresses one end of a tunnel assigns to the other at most.
const MaxAssigned = 16

// AppendAssigned appends the addresses that an end assigns to the other, as they go over the
// wire: how many there are, in one byte, and for each its length in bytes, 4 or 16, in one
// byte, and the address. There are at most MaxAssigned, and none has a zone.
func AppendAssigned(b []byte, assigned []netip.Addr) []byte {
	b = append(b, byte(len(assigned)))
	for _, a := range assigned {
		b = append(b, byte(a.BitLen()/8))
		b = append(b, a.AsSlice()...)
	}
	return b
}

// ParseAssigned reads what AppendAssigned wrote. What follows is ignored. Whether the
// addresses are of any use to this end is for the caller to decide.
func ParseAssigned(b []byte) ([]netip.Addr, error) {
	if len(b) == 0 {
		return nil, errShortAssigned
	}
	n, b := int(b[0]), b[1:]
	if n > MaxAssigned {
		return nil, fmt.Errorf("%d assigned addresses; allowed are at most %d", n, MaxAssigned)
	}
	assigned := make([]netip.Addr, 0, n)
	for range n {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return nil, errShortAssigned
		}
		a, ok := netip.AddrFromSlice(b[1 : 1+b[0]])
		if !ok {
			return nil, fmt.Errorf("assigned address of %d bytes", b[0])
		}
		assigned, b = append(assigned, a), b[1+b[0]:]
	}
	return assigned, nil
}

var errShortAssigned = errors.New("assigned addresses are cut off")
