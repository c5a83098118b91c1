package tlslink

import (
	"container/list"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

const (
	turnInterval = 10 * time.Millisecond // between looks whether a turn has come
	maxServed    = 4096                  // networks whose last turn is remembered
)

// turns decide when, and in which order, handshakes are worked on: so many a second,
// and each network after the others. The gate's mutex guards it.
type turns struct {
	limit   *rate.Limiter
	planned bool // grant will be called
	count   uint64
	served  map[netip.Prefix]uint64 // when a network last had its turn
}

func newTurns() turns {
	return turns{limit: rate.NewLimiter(handshakeRate, handshakeBurst), served: make(map[netip.Prefix]uint64)}
}

func (t *turns) take(now time.Time) bool { return t.limit.AllowN(now, 1) }

// next returns the guest, of those that wait, whose network has waited longest.
func (t *turns) next(among *list.List) *guest {
	var first *guest
	for e := among.Front(); e != nil; e = e.Next() {
		if v := e.Value.(*guest); first == nil || t.served[v.neighborhood()] < t.served[first.neighborhood()] {
			first = v
		}
	}
	t.count++
	if len(t.served) >= maxServed {
		clear(t.served)
	}
	t.served[first.neighborhood()] = t.count
	return first
}

// neighborhood is the network that has its turns: an IPv4 /24 or an IPv6 /48.
func (v *guest) neighborhood() netip.Prefix { return v.networks[1].prefix }
