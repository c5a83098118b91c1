package engine

import (
	"testing"
	"time"
)

// A peer has everything when both markers are sent and acknowledged; where there are none, that is never known.
func TestDelivered(t *testing.T) {
	s := startSpeaker(t, 64512, "10.0.0.1")
	g := newGracefulPeer(t, s, nil)
	g.connect(caps(graceful(false, true, 60)), "10.2.0.0/16")
	eventually(t, 40*time.Second, func() string {
		if !statusOf(s, "b").Delivered {
			return "the peer has everything, and it is not known"
		}
		return ""
	})
	g.lose()
	if statusOf(s, "b").Delivered {
		t.Error("the next connection is yet to come, and has everything already")
	}

	plain := startSpeaker(t, 64512, "10.0.0.1")
	b := rawSession(t, plain, "b", 64513, "10.0.0.2", nil)
	b.update(64513, prefixes("10.2.0.0/16"), nil)
	waitRoutes(t, plain, "b", "10.2.0.0/16")
	if statusOf(plain, "b").Delivered {
		t.Error("a peer without graceful restart gets no markers, and is taken for one that has them")
	}
}
