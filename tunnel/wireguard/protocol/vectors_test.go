package protocol

import (
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func checkHex(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("%s: %x, want %s", what, got, want)
	}
}

// RFC 7748, section 6.1.
func TestCurve25519Vector(t *testing.T) {
	alice := PrivateKey(unhex(t, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
	bob := PublicKey(unhex(t, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"))
	public := alice.Public()
	checkHex(t, "public key", public[:], "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
	shared, err := alice.dh(&bob)
	if err != nil {
		t.Fatal(err)
	}
	checkHex(t, "shared secret", shared[:], "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
}

// RFC 7693, appendix B.
func TestBLAKE2sVector(t *testing.T) {
	sum := hashOf([]byte("a"), []byte("bc"))
	checkHex(t, "BLAKE2s-256 of abc", sum[:], "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982")
}

// RFC 8439, appendix A.5.
func TestChaCha20Poly1305Vector(t *testing.T) {
	nonce := unhex(t, "000000000102030405060708")
	key := [KeyLen]byte(unhex(t, "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0"))
	plain, err := newAEAD(&key).Open(nil, nonce, unhex(t,
		"64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0"+
			"bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855"+
			"9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e9"+
			"9040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a"+
			"0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130"+
			"305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38"),
		unhex(t, "f33388860000000000004e91"))
	if err != nil || !bytes.HasPrefix(plain, []byte("Internet-Drafts are draft documents valid")) {
		t.Errorf("%q, %v", plain, err)
	}
}

// draft-irtf-cfrg-xchacha-01, appendix A.3.1.
func TestXChaCha20Poly1305Vector(t *testing.T) {
	key := [KeyLen]byte(unhex(t, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"))
	plain := "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
	got := newXAEAD(&key).Seal(nil, unhex(t, "404142434445464748494a4b4c4d4e4f5051525354555657"), []byte(plain), unhex(t, "50515253c0c1c2c3c4c5c6c7"))
	checkHex(t, "sealed", got, "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49")
}

// The outputs that the project wireguard-go checks its own KDF with, and the
// paper's definition written out.
func TestKDF(t *testing.T) {
	for _, tc := range []struct{ key, input, t1, t2, t3 string }{
		{"746573742d6b6579", "746573742d696e707574",
			"6f0e5ad38daba1bea8a0d213688736f19763239305e0f58aba697f9ffc41c633",
			"df1194df20802a4fe594cde27e92991c8cae66c366e8106aaa937a55fa371e8a",
			"fac6e2745a325f5dc5d11a5b165aad08b0ada28e7b4e666b7c077934a4d76c24"},
		{"", "",
			"8387b46bf43eccfcf349552a095d8315c4055beb90208fb1be23b894bc2ed5d0",
			"58a0e5f6faefccf4807bff1f05fa8a9217945762040bcec2f4b4a62bdfe0e86e",
			"0ce6ea98ec548f8e281e93e32db65621c45eb18dc6f0a7ad94178610a2f7338e"},
	} {
		for n := 1; n <= 3; n++ {
			out := make([]byte, n*hashLen)
			kdf(unhex(t, tc.key), unhex(t, tc.input), out)
			checkHex(t, "KDF", out, (tc.t1 + tc.t2 + tc.t3)[:2*len(out)])
		}
	}
	mac := func(key []byte, parts ...[]byte) []byte {
		h := hmac.New(newHash, key)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	t0 := mac([]byte("key"), []byte("input"))
	t1 := mac(t0, []byte{1})
	t2 := mac(t0, t1, []byte{2})
	var out [2 * hashLen]byte
	kdf([]byte("key"), []byte("input"), out[:])
	if !bytes.Equal(out[:], append(t1, t2...)) {
		t.Error("KDF is not what section 5.4 says")
	}
}

// The paper's section 5.4.2 begins a transcript with these.
func TestInitialState(t *testing.T) {
	checkHex(t, "chaining key", initialChaining[:], "60e26daef327efc02ec335e2a025d2d016eb4206f87277f52d38d1988b78cd36")
	checkHex(t, "hash", initialHash[:], "2211b361081ac566691243db458ad5322d9c6c662293e8b70ee19c65ba079ef3")
}

func TestParseKey(t *testing.T) {
	k := PrivateKey{1, 2, 3}
	pub := k.Public()
	got, err := ParseKey(pub.String())
	if err != nil || PublicKey(got) != pub {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "AAAA", pub.String() + "=", pub.String()[:43], pub.String() + "\n", "!" + pub.String()[1:]} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestPaddedLen(t *testing.T) {
	for _, tc := range [][3]int{{0, 1420, 0}, {1, 1420, 16}, {16, 1420, 16}, {17, 1420, 32}, {1408, 1420, 1408}, {1409, 1420, 1420}, {1420, 1420, 1420}, {1500, 1420, 1500}} {
		if got := PaddedLen(tc[0], tc[1]); got != tc[2] {
			t.Errorf("PaddedLen(%d, %d) = %d, want %d", tc[0], tc[1], got, tc[2])
		}
	}
}
