package wireguard

import (
	"encoding/base64"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/wireguard/flow/flowtest"
	"warren/tunnel/wireguard/protocol"
)

func testSecret() []byte {
	s := make([]byte, SecretLen)
	for i := range s {
		s[i] = byte(i)
	}
	return s
}

// The vectors were made with another implementation of HKDF (Python's hmac), and
// `wg pubkey`. A change here is one that the far end does not know of.
func TestDeriveSecretVectors(t *testing.T) {
	for _, v := range []struct {
		link                              uint16
		first                             bool
		private, peerPublic, presharedKey string
	}{
		{0, true, "AEw6V0SRxjG4ZcADZvkZe03H805Ttpo7yCVzElQxtl0=", "tgzSWvd5NC5iXxtJ75q580UhvDybtKVcgsD9jzl6xi4=", "zmLJ3ciVmsbb4sPMz1WBhFkIp5IN7UpbWI345sUxC4s="},
		{0, false, "yMiaGBy5VAxRs/dDB87VnXH7a2Zw5v8WXzMjkpw+zmE=", "aNn2ipPS7Wy8YmRKpIRrvhynjBcm6zETU/ysoHnF0TI=", "zmLJ3ciVmsbb4sPMz1WBhFkIp5IN7UpbWI345sUxC4s="},
		{7, true, "OMRAx+9Pwq+Kp31x9jqecTyquiKF7P2s2y2Jhsf6LV0=", "T9LEyIjqXucvNwbwbs/IYaLTvSnN8EOiI/KrPDA6UAk=", "btLM/Gj/luzsbNcze/gKdPC/MDTuXfC11+EZ/sZH81E="},
		{65535, false, "uIF5PgqBIIjlJz86xil2HGgmuo+kh5tbzIGfTnM//FY=", "MAhCa3zfJoC5cGOngqsrA4ObShVoWZzmA/i4zw8Hqn8=", "xWBk9NEw5oajojM6aGSVY3w9n6IKUa2lAu1CeieQ9Q4="},
	} {
		k := DeriveSecret(testSecret(), v.link, v.first)
		got := [3]string{base64.StdEncoding.EncodeToString(k.PrivateKey[:]), k.PeerPublicKey.String(), base64.StdEncoding.EncodeToString(k.PresharedKey[:])}
		if want := [3]string{v.private, v.peerPublic, v.presharedKey}; got != want {
			t.Errorf("link %d, first %v:\n got %v\nwant %v", v.link, v.first, got, want)
		}
	}
}

// Each end has the private key of whom the other looks for. Another link, and another
// secret, has no key in common.
func TestDeriveSecretEnds(t *testing.T) {
	seen := make(map[[32]byte]bool)
	other := testSecret()
	other[0]++
	for _, secret := range [][]byte{testSecret(), other} {
		for _, link := range []uint16{0, 1, 10, 65535} {
			a, b := DeriveSecret(secret, link, true), DeriveSecret(secret, link, false)
			if a.PrivateKey.Public() != b.PeerPublicKey || b.PrivateKey.Public() != a.PeerPublicKey || a.PresharedKey != b.PresharedKey {
				t.Errorf("link %d: the ends differ: %+v, %+v", link, a, b)
			}
			for _, k := range [][32]byte{a.PrivateKey, b.PrivateKey, a.PresharedKey} {
				if seen[k] {
					t.Errorf("link %d has a key that another thing has", link)
				}
				seen[k] = true
			}
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a short secret was taken")
		}
	}()
	DeriveSecret(make([]byte, SecretLen-1), 0, true)
}

// Two tunnels with one secret between two routers, and one with the routers' own keys:
// each comes up by itself, with identities of its own.
func TestSecretLinks(t *testing.T) {
	keyA, keyB := protocol.NewPrivateKey(), protocol.NewPrivateKey()
	a, b := startEndpoint(t, Config{PrivateKey: keyA}), startEndpoint(t, Config{PrivateKey: keyB})
	links := []struct{ a, b LinkConfig }{{
		LinkConfig{PublicKey: keyB.Public()}, LinkConfig{PublicKey: keyA.Public()},
	}}
	for link := range uint16(2) {
		first, second := DeriveSecret(testSecret(), link, true), DeriveSecret(testSecret(), link, false)
		links = append(links, struct{ a, b LinkConfig }{
			LinkConfig{PrivateKey: first.PrivateKey, PublicKey: first.PeerPublicKey, PresharedKey: first.PresharedKey},
			LinkConfig{PrivateKey: second.PrivateKey, PublicKey: second.PeerPublicKey, PresharedKey: second.PresharedKey},
		})
	}
	identities := make(map[tunnel.Identity]bool)
	for i, c := range links {
		c.a.Keepalive, c.a.Remotes = 100*time.Millisecond, []string{b.addr("127.0.0.1")}
		endB := b.start(c.b)
		endA := a.start(c.a)
		for _, n := range []*end{endA, endB} {
			ev, s := n.next(true), n.l.Status()
			if ev.Local != s.Local || ev.Peer != s.Peer || ev.Peer != tunnel.Identity(n.l.cfg.PublicKey) || identities[ev.Local] {
				t.Errorf("tunnel %d: event %+v, status %+v", i, ev, s)
			}
			identities[ev.Local] = true
		}
		f := frame(500, byte(i))
		endA.dev.Frames <- f
		endB.arrives(f)
		endB.dev.Frames <- f
		endA.arrives(f)
	}
	c := links[1].b
	c.Name, c.Device = "again", flowtest.NewDevice("again")
	if _, err := b.e.AddLink(c); err == nil {
		t.Error("the same keys twice")
	}
	c.PrivateKey, c.PublicKey = links[1].a.PrivateKey, c.PrivateKey.Public()
	if _, err := b.e.AddLink(c); err == nil {
		t.Error("both ends on one router")
	}
}
