package fib

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// TestGatewayNumbersAgainstModel: a number means one gateway for as long as something refers
// to it, and is forgotten afterwards.
func TestGatewayNumbersAgainstModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	p := newPicture(&Config{})
	type key struct {
		prefix  netip.Prefix
		gateway netip.Addr
	}
	model := map[key]bool{}
	addr := func() netip.Addr {
		if n := rnd.IntN(6); n > 0 {
			return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
		}
		return netip.Addr{}
	}
	for range 20_000 {
		k := key{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rnd.IntN(4))}), 32), addr()}
		r := rtnl.Route{Prefix: k.prefix, Index: 1, Gateway: k.gateway, Type: unix.RTN_UNICAST}
		h := p.held(r)
		if got := p.route(k.prefix, h); got.Gateway != k.gateway || got.Index != 1 || got.Odd || got.NextHop != 0 {
			t.Fatalf("%+v comes back as %+v", r, got)
		}
		p.via.use(h.gateway())
		if rnd.IntN(2) == 0 {
			p.add(k.prefix, h)
			model[k] = true
		} else {
			if got := p.remove(k.prefix, h); got != model[k] {
				t.Fatalf("remove(%v) = %v", k, got)
			}
			delete(model, k)
		}
		p.via.release(h.gateway())
		used := map[netip.Addr]bool{}
		for m := range model {
			if m.gateway.IsValid() {
				used[m.gateway] = true
			}
		}
		if len(p.via.numbers) != len(used) || len(p.via.list) > 6+1 {
			t.Fatalf("%d gateways are remembered, %d are used", len(p.via.numbers), len(used))
		}
	}
}
