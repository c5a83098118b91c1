package fib

import "net/netip"

// gateways numbers the gateways of ways and routes, so that a route needs four bytes for its
// own and no pointer. It counts those that refer to one, and forgets it with the last.
type gateways struct {
	numbers map[netip.Addr]uint32
	list    []gateway // by number; 0 stands for none
	free    []uint32
}

type gateway struct {
	addr netip.Addr
	refs int
}

func newGateways() *gateways {
	return &gateways{numbers: map[netip.Addr]uint32{}, list: make([]gateway, 1)}
}

// number returns that of an address, 0 for one that is not valid. A new one is to be used at
// once.
func (g *gateways) number(a netip.Addr) uint32 {
	if !a.IsValid() {
		return 0
	}
	if n, ok := g.numbers[a]; ok {
		return n
	}
	n := uint32(len(g.list))
	if last := len(g.free) - 1; last >= 0 {
		n, g.free = g.free[last], g.free[:last]
	} else {
		g.list = append(g.list, gateway{})
	}
	g.list[n].addr, g.numbers[a] = a, n
	return n
}

// addr is the opposite of number.
func (g *gateways) addr(n uint32) netip.Addr { return g.list[n].addr }

// use counts one more that refers to a gateway.
func (g *gateways) use(n uint32) {
	if n != 0 {
		g.list[n].refs++
	}
}

// release takes back what use has counted.
func (g *gateways) release(n uint32) {
	if n == 0 {
		return
	}
	if g.list[n].refs--; g.list[n].refs > 0 {
		return
	}
	delete(g.numbers, g.list[n].addr)
	g.list[n] = gateway{}
	g.free = append(g.free, n)
}
