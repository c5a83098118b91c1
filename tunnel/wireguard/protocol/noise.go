package protocol

import (
	"crypto/cipher"
	"crypto/hkdf"
	"hash"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"
)

// The strings that begin the transcript and derive keys (paper, section 5.4).
const (
	construction = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
	identifier   = "WireGuard v1 zx2c4 Jason@zx2c4.com"
	labelMAC1    = "mac1----"
	labelCookie  = "cookie--"
)

const (
	hashLen = blake2s.Size
	macLen  = blake2s.Size128
	tagLen  = chacha20poly1305.Overhead
)

// newHash is HASH of section 5.4. blake2s fails only on keys that are too long.
func newHash() hash.Hash {
	h, _ := blake2s.New256(nil)
	return h
}

func hashOf(parts ...[]byte) (sum [hashLen]byte) {
	h := newHash()
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(sum[:0])
	return sum
}

// keyedMAC is MAC of section 5.4.
func keyedMAC(key, input []byte) (mac [macLen]byte) {
	h, err := blake2s.New128(key)
	if err != nil {
		panic(err) // keys are cookies or hashes: 16 or 32 bytes
	}
	h.Write(input)
	h.Sum(mac[:0])
	return mac
}

// kdf is KDF_n of section 5.4, which is HKDF (RFC 5869) without info: the result
// has room for n outputs of 32 bytes.
func kdf(chaining, input, out []byte) {
	b, err := hkdf.Key(newHash, input, chaining, "", len(out))
	if err != nil {
		panic(err) // only for outputs of more than 255 hashes
	}
	copy(out, b)
	clear(b)
}

// symmetric is the state that a handshake accumulates (Noise, section 5.2): the
// chaining key and the hash of the transcript.
type symmetric struct {
	chaining [hashLen]byte
	hash     [hashLen]byte
}

// initialChaining and initialHash are those of every handshake.
var (
	initialChaining = hashOf([]byte(construction))
	initialHash     = hashOf(initialChaining[:], []byte(identifier))
)

// newSymmetric begins a transcript towards the responder with this static key.
func newSymmetric(responder *PublicKey) symmetric {
	s := symmetric{chaining: initialChaining, hash: initialHash}
	s.mixHash(responder[:])
	return s
}

func (s *symmetric) mixHash(b []byte) { s.hash = hashOf(s.hash[:], b) }

// mixEphemeral takes in an ephemeral key, which a PSK handshake mixes into both
// (Noise, section 9.2).
func (s *symmetric) mixEphemeral(e *PublicKey) {
	kdf(s.chaining[:], e[:], s.chaining[:])
	s.mixHash(e[:])
}

// mixKey takes in a shared secret and returns a key for what is sealed next.
func (s *symmetric) mixKey(secret []byte) (key [KeyLen]byte) {
	var out [2 * hashLen]byte
	kdf(s.chaining[:], secret, out[:])
	s.chaining, key = [hashLen]byte(out[:]), [KeyLen]byte(out[hashLen:])
	clear(out[:])
	return key
}

// mixPreshared takes in the preshared key (Noise, section 9.2: MixKeyAndHash).
func (s *symmetric) mixPreshared(psk *PresharedKey) (key [KeyLen]byte) {
	var out [3 * hashLen]byte
	kdf(s.chaining[:], psk[:], out[:])
	s.chaining, key = [hashLen]byte(out[:]), [KeyLen]byte(out[2*hashLen:])
	s.mixHash(out[hashLen : 2*hashLen])
	clear(out[:])
	return key
}

// seal appends plaintext to dst, sealed with a key that is used this once, and
// takes the result into the transcript.
func (s *symmetric) seal(dst []byte, key *[KeyLen]byte, plaintext []byte) []byte {
	n := len(dst)
	var nonce [chacha20poly1305.NonceSize]byte
	dst = newAEAD(key).Seal(dst, nonce[:], plaintext, s.hash[:])
	s.mixHash(dst[n:])
	clear(key[:])
	return dst
}

// open is the reverse of seal.
func (s *symmetric) open(dst []byte, key *[KeyLen]byte, sealed []byte) ([]byte, error) {
	var nonce [chacha20poly1305.NonceSize]byte
	dst, err := newAEAD(key).Open(dst, nonce[:], sealed, s.hash[:])
	clear(key[:])
	if err != nil {
		return nil, errForged
	}
	s.mixHash(sealed)
	return dst, nil
}

// split ends the handshake (section 5.4.5): the initiator's sending key, and the
// responder's.
func (s *symmetric) split() (initiator, responder [KeyLen]byte) {
	var out [2 * hashLen]byte
	kdf(s.chaining[:], nil, out[:])
	initiator, responder = [KeyLen]byte(out[:]), [KeyLen]byte(out[hashLen:])
	clear(out[:])
	s.erase()
	return initiator, responder
}

func (s *symmetric) erase() { *s = symmetric{} }

func newAEAD(key *[KeyLen]byte) cipher.AEAD {
	a, err := chacha20poly1305.New(key[:])
	if err != nil {
		panic(err) // only for keys of another length
	}
	return a
}
