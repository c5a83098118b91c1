package aead

import (
	"crypto/cipher"
	"encoding/binary"

	"golang.org/x/crypto/chacha20poly1305"
)

// Lengths in bytes, of a key, a nonce and a tag.
const (
	KeyLen   = chacha20poly1305.KeySize
	NonceLen = chacha20poly1305.NonceSize
	Overhead = chacha20poly1305.Overhead
)

// Lanes is how many messages of one length are best sealed or opened at once.
const Lanes = 16

// Message is a message to be sealed or opened in place.
type Message struct {
	Nonce []byte // NonceLen bytes, which are not changed
	// Body is the plaintext or ciphertext, and the tag in its last Overhead bytes. They
	// are there for Seal to fill in, and Open leaves them.
	Body   []byte
	Forged bool // Open found that the tag is not right; of the plaintext nothing is to be used
}

// Key is a key of ChaCha20-Poly1305. It is safe for concurrent use.
type Key struct {
	single cipher.AEAD
	words  [KeyLen / 4]uint32
}

// Bytes returns the key.
func (k *Key) Bytes() (key [KeyLen]byte) {
	for i, w := range k.words {
		binary.LittleEndian.PutUint32(key[4*i:], w)
	}
	return key
}

// NewKey copies a key.
func NewKey(key *[KeyLen]byte) *Key {
	single, err := chacha20poly1305.New(key[:])
	if err != nil {
		panic(err) // only for keys of another length
	}
	k := &Key{single: single}
	for i := range k.words {
		k.words[i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	return k
}

// Seal seals messages. No nonce may ever be used again with the key.
func (k *Key) Seal(msgs []Message) {
	for len(msgs) > 0 {
		n := k.sealLanes(msgs)
		if n == 0 {
			m := &msgs[0]
			plain := m.Body[:len(m.Body)-Overhead]
			k.single.Seal(plain[:0], m.Nonce, plain, nil)
			n = 1
		}
		msgs = msgs[n:]
	}
}

// Open opens messages, and tells of each whether it is forged.
func (k *Key) Open(msgs []Message) {
	for len(msgs) > 0 {
		n := k.openLanes(msgs)
		if n == 0 {
			m := &msgs[0]
			_, err := k.single.Open(m.Body[:0], m.Nonce, m.Body, nil)
			m.Forged = err != nil
			n = 1
		}
		msgs = msgs[n:]
	}
}
