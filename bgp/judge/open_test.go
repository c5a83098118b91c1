package judge

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// openBody is an OPEN's body in hex: AS 64666, hold time 90, 10.0.0.2.
func openBody(params string) []byte {
	b := unhex("04fc9a005a0a000002")
	p := unhex(params)
	return append(append(b, byte(len(p))), p...)
}

// canonical is the OPEN that is handed on with the capabilities in hex.
func canonical(caps string) []byte {
	if caps == "" {
		return openBody("")
	}
	c := unhex(caps)
	return append(append(unhex("04fc9a005a0a000002"), byte(len(c)+2), 2, byte(len(c))), c...)
}

const (
	mp4   = "010400010001"
	mp6   = "010400020001"
	as4   = "41040000fc9a"
	hop46 = "0506000100010002"
)

// TestPeerOpen has what a peer's OPEN becomes (RFC 4271 section 4.2, RFC 5492).
func TestPeerOpen(t *testing.T) {
	for _, c := range []struct {
		name      string
		body      []byte
		want      []byte // what is handed on; nil: nothing
		discarded uint64
		ends      string
	}{
		{"as it should be", openBody("0218" + mp4 + mp6 + as4 + "0200" + "4600" + "0000"), canonical(mp4 + mp6 + "0200" + as4 + "4600"), 0, ""},
		{"a parameter for each capability", openBody("0206" + mp6 + "0206" + mp4 + "0206" + as4 + "02020200"), canonical(mp4 + mp6 + "0200" + as4), 0, ""},
		{"no parameters: IPv4 (4760 8)", openBody(""), canonical(mp4), 0, ""},
		{"no families: IPv4 (4760 8)", openBody("0206" + as4), canonical(mp4 + as4), 0, ""},
		{"IPv6 alone", openBody("0206" + mp6), canonical(mp6), 0, ""},
		{"families unknown here: not taken for IPv4", openBody("020c" + "010400190041" + "010400010080"), canonical("010400190041"), 0, ""},
		{"a family twice", openBody("020c" + mp4 + mp4), canonical(mp4), 0, ""},
		{"reserved octet of a family set (4760 8)", openBody("0206" + "01040001ff01"), canonical(mp4), 0, ""},
		{"unknown capabilities (5492 3)", openBody("020d" + mp4 + "4703010203" + "ff00"), canonical(mp4), 0, ""},
		{"extended messages are not handed on (8654 4)", openBody("0208" + mp4 + "0600"), canonical(mp4), 0, ""},
		{"family of length 3", openBody("020b" + "0103000100" + mp6), canonical(mp6), 1, ""},
		{"family of length 3 alone: IPv4", openBody("0205" + "0103000100"), canonical(mp4), 1, ""},
		{"4-octet AS of length 2", openBody("0204" + "4102fc9a"), canonical(mp4), 1, ""},
		{"4-octet AS of length 5", openBody("0207" + "41050000fc9a00"), canonical(mp4), 1, ""},
		{"next hops of length 7 (8950 4)", openBody("0209" + "0507000100010002" + "00"), canonical(mp4), 1, ""},
		{"next hops of length 0", openBody("0202" + "0500"), canonical(mp4), 1, ""},
		{"next hops of other families (8950 4)", openBody("0208" + "0506000100800002"), canonical(mp4), 0, ""},
		{"next hops of several families", openBody("020e" + "050c000100800002" + "000100010002"), canonical(mp4 + hop46), 0, ""},
		{"graceful restart", openBody("020c" + "400a" + "c078" + "00010180" + "00020180"), canonical(mp4 + "400a" + "c078" + "00010180" + "00020180"), 0, ""},
		{"graceful restart of unknown families", openBody("0210" + "400e" + "4078" + "00010100" + "00190080" + "00010180"), canonical(mp4 + "4006" + "4078" + "00010100"), 0, ""},
		{"graceful restart of length 1", openBody("0203" + "400100"), canonical(mp4), 1, ""},
		{"graceful restart of length 5", openBody("0207" + "40050078000101"), canonical(mp4), 1, ""},
		{"route refresh with a value", openBody("0203" + "020100"), canonical(mp4 + "0200"), 0, ""},
		{"capability longer than its parameter", openBody("0208" + mp6 + "41ff"), canonical(mp6), 1, ""},
		{"capability cut off", openBody("0207" + mp6 + "41"), canonical(mp6), 1, ""},
		{"octets behind the parameters", append(openBody("0206"+mp6), 1, 2, 3), canonical(mp6), 0, ""},
		{"extended parameters (9072 2)", append(unhex("04fc9a005a0a000002"+"ff"+"ff"+"0009"), unhex("020006"+mp6)...), canonical(mp6), 0, ""},
		{"extended parameters, other length (9072 2)", append(unhex("04fc9a005a0a000002"+"07"+"ff"+"0012"), unhex("020006"+mp6+"020006"+mp4)...), canonical(mp4 + mp6), 0, ""},
		{"extended parameters, none", unhex("04fc9a005a0a000002" + "ff" + "ff" + "0000"), canonical(mp4), 0, ""},
		{"extended parameters, length cut off", unhex("04fc9a005a0a000002" + "ff" + "ff" + "00"), nil, 0, "2/0 "},
		{"extended parameters cut off", unhex("04fc9a005a0a000002" + "ff" + "ff" + "0009" + "0200"), nil, 0, "2/0 "},
		{"extended parameter cut off", unhex("04fc9a005a0a000002" + "ff" + "ff" + "0003" + "020006"), nil, 0, "2/0 "},
		{"parameters longer than the OPEN", append(openBody("0206" + mp6)[:9], 20, 2, 0), nil, 0, "2/0 "},
		{"parameter longer than all", openBody("0207" + mp6), nil, 0, "2/0 "},
		{"parameter of one octet", openBody("0206" + mp6 + "02"), nil, 0, "2/0 "},
		{"unknown parameter (4271 6.2)", openBody("0300" + "0206" + mp6), nil, 0, "2/4 "},
		{"version 3 (4271 6.2)", append([]byte{3}, openBody("")[1:]...), nil, 0, "2/1 0004"},
		{"AS 0 (7607 2)", unhex("040000005a0a00000200"), nil, 0, "2/2 "},
		{"AS 0 beside a 4-octet AS", unhex("040000005a0a000002" + "08" + "0206" + as4), nil, 0, "2/2 "},
		{"4-octet AS 0", openBody("0206" + "410400000000"), nil, 0, "2/2 "},
		{"another AS: for GoBGP to say", unhex("04ffff005a0a00000200"), unhex("04ffff005a0a000002" + "08" + "0206" + mp4), 0, ""},
		{"hold time 1: for GoBGP to say", unhex("04fc9a00010a00000200"), unhex("04fc9a00010a000002" + "08" + "0206" + mp4), 0, ""},
		{"identifier 0: for GoBGP to say", unhex("04fc9a005a0000000000"), unhex("04fc9a005a00000000" + "08" + "0206" + mp4), 0, ""},
		{"large AS", unhex("045ba0005a0a000002" + "08" + "0206" + "410400010001"), unhex("045ba0005a0a000002" + "0e" + "020c" + mp4 + "410400010001"), 0, ""},
		{"AS of two octets unlike the one of four", unhex("040001005a0a000002" + "08" + "0206" + "410400010001"), unhex("045ba0005a0a000002" + "0e" + "020c" + mp4 + "410400010001"), 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New(setup{}.config())
			out, err := s.FromPeer(nil, frame(typeOpen, c.body))
			if ended(err) != c.ends {
				t.Fatalf("%q, want %q", ended(err), c.ends)
			}
			if _, ok := s.PeerOpen(); ok != (err == nil) {
				t.Errorf("PeerOpen says %v", ok)
			}
			if err != nil {
				if len(out) != 0 {
					t.Errorf("%x is handed on", out)
				}
				return
			}
			if want := frame(typeOpen, c.want); !bytes.Equal(out, want) {
				t.Errorf("got  %x\nwant %x", out, want)
			}
			if n := s.Counts().Discarded; n != c.discarded {
				t.Errorf("%d are discarded, not %d: %s", n, c.discarded, s.Counts().Last)
			}
			if _, err := gobgp.ParseBGPMessage(out); err != nil {
				t.Errorf("GoBGP does not read it: %v", err)
			}
		})
	}
}

func TestPeerOpenIsTold(t *testing.T) {
	s := New(setup{}.config())
	if o, ok := s.PeerOpen(); ok {
		t.Errorf("%+v before it came", o)
	}
	if _, err := s.FromPeer(nil, frame(typeOpen, openBody("021c"+mp6+hop46+"410400010001"+"0200"+"4600"+"ff02abcd"))); err != nil {
		t.Fatal(err)
	}
	o, ok := s.PeerOpen()
	if !ok || o.ASN != 65537 || o.RouterID != netip.MustParseAddr("10.0.0.2") || o.HoldTime != 90 || o.IPv4 || !o.IPv6 || !o.NextHopIPv6 || !o.FourOctetAS || !o.Refresh {
		t.Errorf("%+v, %v", o, ok)
	}
}

// TestOwnOpen has what this end's OPEN becomes, written by GoBGP in any chunks.
func TestOwnOpen(t *testing.T) {
	caps := func(extended bool) *gobgp.BGPMessage {
		all := []gobgp.ParameterCapabilityInterface{gobgp.NewCapRouteRefresh(), gobgp.NewCapFQDN("router.example.net", "")}
		if extended {
			all = append(all, gobgp.NewCapExtendedMessage())
		}
		all = append(all, gobgp.NewCapMultiProtocol(gobgp.RF_IPv4_UC), gobgp.NewCapMultiProtocol(gobgp.RF_IPv6_UC), gobgp.NewCapFourOctetASNumber(64512), extendedNextHop)
		m, err := gobgp.NewBGPOpenMessage(64512, 90, netip.MustParseAddr("10.0.0.1"), []gobgp.OptionParameterInterface{gobgp.NewOptionParameterCapability(all)})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	in, err := caps(true).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	want, err := caps(false).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	tail := strings.Repeat("anything", 3)
	for _, size := range []int{1, 7, 19, 60, 1000} {
		s := New(setup{}.config())
		var out []byte
		for b := append(bytes.Clone(in), tail...); len(b) > 0; {
			n := min(size, len(b))
			out = s.ToPeer(out, b[:n])
			b = b[n:]
		}
		if !bytes.Equal(out, append(bytes.Clone(want), tail...)) {
			t.Errorf("in chunks of %d: %x, want %x", size, out, want)
		}
		if o := s.ours; !o.IPv4 || !o.IPv6 || !o.NextHopIPv6 || !o.FourOctetAS || o.ASN != 64512 {
			t.Errorf("it is taken for %+v", o)
		}
	}
}

var extendedNextHop = gobgp.NewCapExtendedNexthop([]*gobgp.CapExtendedNexthopTuple{gobgp.NewCapExtendedNexthopTuple(gobgp.RF_IPv4_UC, gobgp.AFI_IP6)})

// TestNotAnOpen: what is written in place of an OPEN goes out as it is.
func TestNotAnOpen(t *testing.T) {
	for _, b := range [][]byte{
		frame(typeNotification, []byte{6, 5}),
		frame(typeOpen, []byte{4, 0}),
		append(frame(typeOpen, openBody("0207"+mp6)), frame(typeKeepalive, nil)...),
		append(frame(typeOpen, openBody("0203"+"410400")), 1, 2, 3),
		make([]byte, 40),
	} {
		s := New(setup{}.config())
		if out := s.ToPeer(nil, b); !bytes.Equal(out, b) {
			t.Errorf("%x became %x", b, out)
		}
	}
}

// TestPeekOpen: an OPEN is known when all of it has come, however that comes, and what begins no session is told apart.
func TestPeekOpen(t *testing.T) {
	good := frame(typeOpen, openBody("0206"+"010400010001"))
	for n := range good {
		if _, whole, why := PeekOpen(good[:n]); whole || why != nil {
			t.Errorf("after %d octets: %v, %v", n, whole, why)
		}
	}
	o, whole, why := PeekOpen(append(good, 1, 2, 3))
	if !whole || why != nil || o.ASN != 64666 || !o.RouterID.IsValid() || !o.IPv4 || o.IPv6 {
		t.Errorf("%+v, %v, %v", o, whole, why)
	}
	body := func(as, hold, id string) []byte { return unhex("04" + as + hold + id + "00") }
	for _, c := range []struct {
		what          string
		sent          []byte
		code, subcode uint8
	}{
		{"zeros", make([]byte, headerLen), errHeader, 1},
		{"a KEEPALIVE", frame(typeKeepalive, nil), errFSM, 1},
		{"too short an OPEN", frame(typeOpen, []byte{4}), errHeader, 2},
		{"version 3", frame(typeOpen, unhex("03fc9a005a0a00000200")), errOpen, 1},
		{"AS 0", frame(typeOpen, body("0000", "005a", "0a000002")), errOpen, 2},
		{"no router ID", frame(typeOpen, body("fc9a", "005a", "00000000")), errOpen, 3},
		{"a hold time of 2 s", frame(typeOpen, body("fc9a", "0002", "0a000002")), errOpen, 6},
		{"parameters cut off", frame(typeOpen, unhex("04fc9a005a0a000002"+"0302c801")), errOpen, 0},
	} {
		if _, whole, why := PeekOpen(c.sent); whole || why == nil || why.Code != c.code || why.Subcode != c.subcode {
			t.Errorf("%s: %v, %v", c.what, whole, why)
		}
	}
}
