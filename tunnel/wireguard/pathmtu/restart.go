package pathmtu

// An end whose program is being replaced says so to another Warren by the same kind of echo: the one asks with an echo request
// to be waited for, and the other answers with a reply of its own. The end that is back says that with a request that has no
// answer.
const (
	magicAwait  = "WarrenRA"
	magicAwaits = "WarrenRW"
	magicBack   = "WarrenRB"
)

// RestartWord is what a message about a restart says.
type RestartWord int

// The words.
const (
	Await  RestartWord = iota // the sender is about to be restarted, and asks to be waited for
	Awaits                    // the answer: the sender waits
	Back                      // the sender is there again
)

// Restart is a message about the restart of one end.
type Restart struct {
	Word  RestartWord
	Token Token // an answer's is that of its question
}

// Restarting makes the packet that says so.
func (e Ends) Restarting(r Restart) ([]byte, error) {
	magic := map[RestartWord]string{Await: magicAwait, Awaits: magicAwaits, Back: magicBack}[r.Word]
	return e.echo(magic, r.Word != Awaits, r.Token, nil)
}

// TakeRestart reads such a message from the peer. ok is false for any other packet.
func (e Ends) TakeRestart(p []byte) (r Restart, ok bool) {
	if request, t, _, ok := e.parse(p, magicAwait); ok && request {
		return Restart{Await, t}, true
	}
	if request, t, _, ok := e.parse(p, magicAwaits); ok && !request {
		return Restart{Awaits, t}, true
	}
	request, t, _, ok := e.parse(p, magicBack)
	return Restart{Back, t}, ok && request
}
