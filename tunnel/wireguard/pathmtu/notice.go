package pathmtu

import "encoding/binary"

// Ends that are Warrens tell each other by the same kind of echo what is to become of an end. One whose program is being replaced
// asks with an echo request to be waited for, and the other answers with a reply of its own. An end that is back, or that leaves
// the other for another router, says so with a request that has no answer. One that has no way to
// the other by another of their tunnels any more says which one, and is answered.
const (
	magicAwait  = "WarrenRA"
	magicAwaits = "WarrenRW"
	magicBack   = "WarrenRB"
	magicLeaves = "WarrenRL"
	magicLost   = "WarrenRD"
	magicKnows  = "WarrenRK"
)

// Word is what a notice says.
type Word int

// The words.
const (
	Await  Word = iota // the sender is about to be restarted, and asks to be waited for
	Awaits             // the answer: the sender waits
	Back               // the sender is there again
	Leaves             // the sender has the tunnel with another router from now on
	Lost               // the sender has no way to the receiver any more by the tunnel that the token names, a [tunnel.SessionID]
	Knows              // the answer: the sender knows that
)

// Notice is a message about what is to become of its sender.
type Notice struct {
	Word  Word
	Token Token // an answer's is that of its question; see Leaving
}

// Leaving is the notice that the sender leaves, in the session for which the receiver has that index (WireGuard's white
// paper, section 5.4.6): in another one, which came after, it may be at the same router.
func Leaving(index uint32) (n Notice) {
	n.Word = Leaves
	binary.BigEndian.PutUint32(n.Token[:], index)
	return n
}

// IsOf reports whether a notice was said in the session for which the receiver has that index.
func (n Notice) IsOf(index uint32) bool { return n.Token == Leaving(index).Token }

// words are what each word is on the wire.
var words = [...]struct {
	magic  string
	answer bool
}{
	Await: {magicAwait, false}, Awaits: {magicAwaits, true}, Back: {magicBack, false}, Leaves: {magicLeaves, false},
	Lost: {magicLost, false}, Knows: {magicKnows, true},
}

// Notice makes the packet.
func (e Ends) Notice(n Notice) ([]byte, error) {
	w := words[n.Word]
	return e.echo(w.magic, !w.answer, n.Token, nil)
}

// TakeNotice reads such a message from the peer. ok is false for any other packet.
func (e Ends) TakeNotice(p []byte) (n Notice, ok bool) {
	for word, w := range words {
		if request, t, _, ok := e.parse(p, w.magic); ok && request != w.answer {
			return Notice{Word(word), t}, true
		}
	}
	return Notice{}, false
}

// IsForged reports whether a packet that comes from this end's interface would be such a message of this end's to the peer, or tell it a
// secret. An end makes them itself: that one is of another program of this machine, or of a host behind it that uses its address.
func (e Ends) IsForged(p []byte) bool {
	_, says := Ends{Local: e.Peer, Peer: e.Local}.TakeNotice(p)
	_, tells := TakeSecret(p)
	return says || tells
}
