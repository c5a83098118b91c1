package pathmtu

import "net/netip"

// An end that has invited the other tells it by the same kind of echo which secret replaces the invitation's: by a reply
// that nobody has asked for, so that the kernel behind another device says nothing. The tunnel's addresses
// follow from the keys in use, which are changed by this, so it goes between two that are always the same.
const magicSecret = "WarrenSN"

// SecretLen is the length of a secret in bytes.
const SecretLen = 32

// meeting is between whom a secret is told, from the end that is told it.
var meeting = Ends{Local: netip.MustParseAddr("fe80::5741:5252:454e:2"), Peer: netip.MustParseAddr("fe80::5741:5252:454e:1")}

// TellSecret makes the packet that tells a secret.
func TellSecret(secret [SecretLen]byte) ([]byte, error) {
	return Ends{Local: meeting.Peer, Peer: meeting.Local}.echo(magicSecret, false, Token{}, secret[:])
}

// TakeSecret reads such a packet. ok is false for any other.
func TakeSecret(p []byte) (secret [SecretLen]byte, ok bool) {
	request, _, rest, ok := meeting.parse(p, magicSecret)
	if !ok || request || len(rest) != SecretLen {
		return secret, false
	}
	return [SecretLen]byte(rest), true
}
