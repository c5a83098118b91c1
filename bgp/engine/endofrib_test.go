package engine

import (
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// That a peer has announced all that it had is known when it has said so for each
// family of the session.
func TestEndOfRIB(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	b := rawSession(t, s, "b", 64513, "10.0.0.2", nil)
	ended := func() bool { return statusOf(s, "b").EndOfRIB }
	b.update(64513, prefixes("10.2.0.0/16"), nil)
	waitRoutes(t, s, "b", "10.2.0.0/16")
	if ended() {
		t.Error("the end is there before the peer said so")
	}
	b.send(gobgp.NewEndOfRib(gobgp.RF_IPv4_UC))
	b.update(64513, prefixes("10.3.0.0/16"), nil)
	waitRoutes(t, s, "b", "10.2.0.0/16", "10.3.0.0/16")
	if ended() {
		t.Error("one of two families is all")
	}
	b.send(gobgp.NewEndOfRib(gobgp.RF_IPv6_UC))
	eventually(t, 40*time.Second, func() string {
		if !ended() {
			return "the end of both is not seen"
		}
		return ""
	})
}
