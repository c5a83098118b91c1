package tunnel

import (
	"crypto/sha256"
	"net/netip"
	"testing"
)

func TestAddressesAreOnePairSeenFromBothEnds(t *testing.T) {
	ula := netip.MustParsePrefix("fd00::/8")
	for i := range 200 {
		a := sha256.Sum256([]byte{byte(i), 'a'})
		b := sha256.Sum256([]byte{byte(i), 'b'})
		mine, theirs := Addresses(a, b, 7)
		if x, y := Addresses(b, a, 7); x != theirs || y != mine {
			t.Fatalf("the other end has %v, %v; want %v, %v", x, y, theirs, mine)
		}
		if mine == theirs || !ula.Contains(mine) {
			t.Fatalf("%v, %v: want two addresses in %v", mine, theirs, ula)
		}
		if p := netip.PrefixFrom(mine, AddressBits); !p.Contains(theirs) {
			t.Fatalf("%v is not in %v", theirs, p.Masked())
		}
	}
}

func TestAddressesDifferByLinkAndPeer(t *testing.T) {
	a, b, c := Identity{1}, Identity{2}, Identity{3}
	seen := map[netip.Addr]bool{}
	for link := range uint16(100) {
		for _, peer := range []Identity{b, c} {
			local, _ := Addresses(a, peer, link)
			if seen[local] {
				t.Fatalf("link %d: %v is used twice", link, local)
			}
			seen[local] = true
		}
	}
}

// Both ends of a tunnel may run different versions, so the derivation is part of
// the protocol and must not change.
func TestAddressesStayTheSame(t *testing.T) {
	local, peer := Addresses(Identity{1}, Identity{2}, 0)
	const wantLocal, wantPeer = "fd97:ac5:efbe:ad75:c990:4d7e:b718:90e8", "fd97:ac5:efbe:ad75:c990:4d7e:b718:90e9"
	if local.String() != wantLocal || peer.String() != wantPeer {
		t.Fatalf("%v, %v; want %v, %v", local, peer, wantLocal, wantPeer)
	}
}

func TestAddresses4(t *testing.T) {
	seen := map[netip.Addr]bool{}
	for link := range uint16(20000) {
		mine, theirs := Addresses4(Identity{1}, Identity{2}, link)
		if x, y := Addresses4(Identity{2}, Identity{1}, link); x != theirs || y != mine {
			t.Fatalf("the other end has %v, %v; want %v, %v", x, y, theirs, mine)
		}
		if mine == theirs || netip.PrefixFrom(mine, Address4Bits).Masked() != netip.PrefixFrom(theirs, Address4Bits).Masked() {
			t.Fatalf("%v and %v are no pair", mine, theirs)
		}
		b := mine.As4()
		if b[0] != 169 || b[1] != 254 || b[2] == 0 || b[2] == 255 || b[2] == 169 || b[2] == 170 {
			t.Fatalf("%v is for others", mine)
		}
		seen[mine] = true
	}
	if len(seen) < 14000 { // of 32,256 pairs, some twice
		t.Errorf("only %d of 20000 differ", len(seen))
	}
	// Part of the protocol: see TestAddressesStayTheSame.
	local, peer := Addresses4(Identity{1}, Identity{2}, 0)
	if got := local.String() + " " + peer.String(); got != "169.254.223.208 169.254.223.209" {
		t.Errorf("%s", got)
	}
}
