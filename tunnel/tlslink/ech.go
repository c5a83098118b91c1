package tlslink

import (
	"crypto/sha256"
	"crypto/tls"

	"golang.org/x/crypto/cryptobyte"
)

// A dialing end with a shared secret tells the listening end which one that is by the
// server name of its TLS hello, and encrypts that with the secret: TLS Encrypted Client
// Hello (RFC 9849), whose key pair both ends derive. What is seen is the public name,
// which is of the dialing end's choice: the configured server_name, or one that
// changes with the day.
//
// The listening end has as many keys as secrets. A byte in the clear, the config ID,
// says which of them are worth a try.

// Numbers of RFC 9849 and RFC 9180.
const (
	echExtension      = 0xfe0d
	echOuter          = 0
	kemX25519         = 0x0020
	kdfSHA256         = 1
	aeadAES128        = 1
	aeadChaCha        = 3
	recordHandshake   = 22
	messageHello      = 1
	echMaxNameLen     = 64
	maxTrials         = 32 // keys that are tried for a hello; with 5,000 secrets 20 have the same ID
	maxRecordedHello  = 8 << 10
	maxPublicName     = 255
	echConfigListHead = 2
)

// configID is the byte by which a listening end finds the secret. Without the secret it
// is a random one for each public name.
func (k *secretKeys) configID(publicName string) byte {
	hash := sha256.Sum256([]byte(publicName))
	var id [16]byte
	k.configIDs.Encrypt(id[:], hash[:16])
	return id[0]
}

// echConfig is an ECHConfig for a public name (RFC 9849, section 4). Both ends must
// come to the same bytes.
func (k *secretKeys) echConfig(publicName string) []byte {
	var b cryptobyte.Builder
	b.AddUint16(echExtension)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint8(k.configID(publicName))
		b.AddUint16(kemX25519)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(k.ech.PublicKey().Bytes()) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, aead := range []uint16{aeadAES128, aeadChaCha} {
				b.AddUint16(kdfSHA256)
				b.AddUint16(aead)
			}
		})
		b.AddUint8(echMaxNameLen)
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(publicName)) })
		b.AddUint16(0)
	})
	return b.BytesOrPanic() // maxPublicName bounds all lengths
}

// echConfigList is what crypto/tls takes at the dialing end.
func (k *secretKeys) echConfigList(publicName string) []byte {
	config := k.echConfig(publicName)
	list := make([]byte, echConfigListHead, echConfigListHead+len(config))
	list[0], list[1] = byte(len(config)>>8), byte(len(config))
	return append(list, config...)
}

// echKeys returns the keys that a hello with this public name may be encrypted with;
// none if it is not one of a peer.
func (e *Endpoint) echKeys(publicName string, hello []byte) []tls.EncryptedClientHelloKey {
	keys := []tls.EncryptedClientHelloKey{}
	id, ok := helloConfigID(hello)
	if !ok || len(publicName) > maxPublicName {
		return keys
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	tried := make(map[string]bool)
	for _, l := range e.links {
		for _, cred := range l.credentials() {
			k := cred.keys
			if k == nil || k.configID(publicName) != id || tried[k.serverName] || len(keys) == maxTrials {
				continue
			}
			tried[k.serverName] = true
			keys = append(keys, tls.EncryptedClientHelloKey{Config: k.echConfig(publicName), PrivateKey: k.ech.Bytes()})
		}
	}
	return keys
}

// helloConfigID finds the config ID in a record with a whole ClientHello (RFC 8446,
// sections 4.1.2 and 5.1; RFC 9849, section 5), which is hostile.
func helloConfigID(record []byte) (id byte, ok bool) {
	in := cryptobyte.String(record)
	var typ, message uint8
	var version uint16
	var fragment, body, session, suites, compression, extensions cryptobyte.String
	if !in.ReadUint8(&typ) || typ != recordHandshake || !in.ReadUint16(&version) || !in.ReadUint16LengthPrefixed(&fragment) ||
		!fragment.ReadUint8(&message) || message != messageHello || !fragment.ReadUint24LengthPrefixed(&body) ||
		!body.Skip(2+32) || !body.ReadUint8LengthPrefixed(&session) || !body.ReadUint16LengthPrefixed(&suites) ||
		!body.ReadUint8LengthPrefixed(&compression) || !body.ReadUint16LengthPrefixed(&extensions) {
		return 0, false
	}
	for !extensions.Empty() {
		var number uint16
		var data cryptobyte.String
		if !extensions.ReadUint16(&number) || !extensions.ReadUint16LengthPrefixed(&data) {
			return 0, false
		}
		if number == echExtension {
			var kind uint8
			ok = data.ReadUint8(&kind) && kind == echOuter && data.Skip(2+2) && data.ReadUint8(&id)
			return id, ok
		}
	}
	return 0, false
}
