package status

import (
	"fmt"
	"strings"
	"time"
)

// Drain says that an operator takes traffic away from a peer: it is used only where there is no other
// way, in both directions.
type Drain struct {
	Since Time `json:"since"`
	// Until is when it ends by itself; empty: it does not.
	Until Time `json:"until"`
	// By is the user that asked for it: "uid 0".
	By string `json:"by"`
	// Router says that the whole router is drained, and the peer with it.
	Router bool `json:"router,omitempty"`
}

// TakenDown says that an operator took a peer down: it has no tunnel and no session until it is taken up.
type TakenDown struct {
	Since Time   `json:"since"`
	By    string `json:"by"` // the user that asked for it: "uid 0"
	// Message is what the peer was told (RFC 9003); empty: nothing besides.
	Message string `json:"message,omitempty"`
}

// Out reports whether an operator has drained the peer or taken it down, so that nothing about it is
// an alarm.
func (p Peer) Out() bool { return p.Drained != nil || p.Down != nil }

// text is what is said of a drain after the subject.
func (d *Drain) text(now time.Time) string {
	text := fmt.Sprintf("drained for %s by %s", since(now, d.Since), clean(d.By))
	if d.Router {
		text += ", with the whole router"
	}
	if !d.Until.IsZero() {
		text += fmt.Sprintf(", until %s (in %s)", d.Until.UTC().Format(time.RFC3339), age(d.Until.Sub(now)))
	}
	return text
}

func (d *TakenDown) text(now time.Time) string {
	text := fmt.Sprintf("taken down %s ago by %s", since(now, d.Since), clean(d.By))
	if d.Message != "" {
		text += ": " + clean(d.Message)
	}
	return text
}

// operatorLines says what an operator has done with a peer. Where the whole router is drained that is said
// once, and not of each peer.
func operatorLines(b *strings.Builder, now time.Time, p Peer) {
	if p.Drained != nil && !p.Drained.Router {
		fmt.Fprintf(b, "%s: %s\n", clean(p.Name), p.Drained.text(now))
	}
	if p.Down != nil {
		fmt.Fprintf(b, "%s: %s\n", clean(p.Name), p.Down.text(now))
	}
}
