package bgp

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func lanNeighbor() Neighbor {
	return Neighbor{
		Name: "b", ASN: 64513, LocalAddr: netip.MustParseAddr("10.5.0.1"), PeerAddr: netip.MustParseAddr("10.5.0.2"),
		Network: []netip.Prefix{netip.MustParsePrefix("10.5.0.1/24"), netip.MustParsePrefix("2001:db8:5::1/64")},
	}
}

func TestOnLink(t *testing.T) {
	n := lanNeighbor()
	for a, want := range map[string]bool{
		"10.5.0.2": true, "10.5.0.9": true, "10.5.0.1": false, "10.5.1.2": false, "::ffff:10.5.0.2": true,
		"2001:db8:5::2": true, "2001:db8:5::1": false, "2001:db8:6::2": false, "fe80::7": true, "169.254.0.7": false,
		"10.5.0.0": false, "10.5.0.255": false, "10.5.0.254": true, "2001:db8:5::": true,
	} {
		if got := n.OnLink(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s on link: %v", a, got)
		}
	}
}

// TestOnLinkOwn: none of this end's addresses is a next hop, whichever of its prefixes it is in.
func TestOnLinkOwn(t *testing.T) {
	n := lanNeighbor()
	n.Network = append(n.Network, netip.MustParsePrefix("10.5.0.7/24"), netip.MustParsePrefix("fe80::1/64"))
	for a, want := range map[string]bool{
		"10.5.0.1": false, "10.5.0.7": false, "10.5.0.8": true, "2001:db8:5::1": false, "fe80::1": false, "fe80::1%eth0": false, "fe80::2": true,
	} {
		if got := n.OnLink(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s on link: %v", a, got)
		}
	}
}

// TestOnLinkOfTwo: a subnet of two addresses has no broadcast address (RFC 3021).
func TestOnLinkOfTwo(t *testing.T) {
	n := Neighbor{LocalAddr: netip.MustParseAddr("10.5.0.0"), Network: []netip.Prefix{netip.MustParsePrefix("10.5.0.0/31")}}
	if !n.OnLink(netip.MustParseAddr("10.5.0.1")) {
		t.Error("10.5.0.1 is not on link with 10.5.0.0/31")
	}
}

func TestLANValidate(t *testing.T) {
	for want, edit := range map[string]func(*Neighbor){
		"":                             func(*Neighbor) {},
		"is not on the network":        func(n *Neighbor) { n.PeerAddr = netip.MustParseAddr("10.6.0.2") },
		"has 81 bytes, and at most 80": func(n *Neighbor) { n.Password = Password(strings.Repeat("x", 81)) },
	} {
		n := lanNeighbor()
		edit(&n)
		err := n.Validate()
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestPasswordIsHidden: neither a log nor the speaker's process gets it.
func TestPasswordIsHidden(t *testing.T) {
	n := lanNeighbor()
	n.Password = "hunter2"
	b, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(b), fmt.Sprintf("%v %+v %#v", n, n, n)} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the password is in %s", text)
		}
	}
	other := n
	other.Password = "hunter3"
	if n.SameSession(&other) {
		t.Error("a session goes on with another password")
	}
}
