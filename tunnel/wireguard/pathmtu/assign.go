package pathmtu

import (
	"net/netip"

	"warren/tunnel"
)

// Two ends that are Warrens tell each other by the same kind of echo which addresses one assigns
// to the other: the one asks with an echo request, and the other answers with a reply of its own.
// The kernel behind another device returns the question, which is no answer.
const (
	magicAsk  = "WarrenAQ"
	magicTell = "WarrenAA"
)

// Assign is a message about assigned addresses.
type Assign struct {
	Asks     bool         // it asks for those that this end assigns; else it is the answer
	Token    Token        // of the question
	Assigned []netip.Addr // the answer: at most tunnel.MaxAssigned, otherwise unchecked
}

// AskAssigned makes the packet that asks the peer which addresses it assigns.
func (e Ends) AskAssigned(t Token) ([]byte, error) { return e.echo(magicAsk, true, t, nil) }

// TellAssigned makes the answer to a question with that token.
func (e Ends) TellAssigned(t Token, assigned []netip.Addr) ([]byte, error) {
	return e.echo(magicTell, false, t, tunnel.AppendAssigned(nil, assigned))
}

// TakeAssign reads such a message from the peer. ok is false for any other packet.
func (e Ends) TakeAssign(p []byte) (m Assign, ok bool) {
	if request, t, _, ok := e.parse(p, magicAsk); ok && request {
		return Assign{Asks: true, Token: t}, true
	}
	request, t, rest, ok := e.parse(p, magicTell)
	if !ok || request {
		return Assign{}, false
	}
	assigned, err := tunnel.ParseAssigned(rest)
	return Assign{Token: t, Assigned: assigned}, err == nil
}
