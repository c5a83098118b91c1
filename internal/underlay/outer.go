package underlay

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A packet of a transport that comes out of a tunnel's interface, be it another
// tunnel's, has lost its mark on its way through the firewall: an output rule has
// written another one over it, most often that of the connection (`meta mark set ct
// mark`, CONNMARK --restore-mark), and the kernel then looked for the way again. If
// it were carried, the tunnel would carry itself.

const (
	maxEnds       = 4096 // places that are remembered; the oldest go
	endBits       = 4096 // of the filters that nearly all packets pass by
	maxVerdicts   = 256
	verdictLasts  = time.Second
	complainEvery = time.Minute
)

// end is a place that a transport sends to. It is known by its own port where it was
// dialed, and else by ours.
type end struct {
	ipProto          uint8
	addr             netip.Addr
	itsPort, ownPort uint16 // one of them is 0
}

// flow is what a packet says of where it goes.
type flow struct {
	ipProto  uint8
	src, dst netip.AddrPort
}

// judgement says for a moment whether a flow is a transport's.
type judgement struct {
	own   bool
	until time.Time
}

// Swallowed is what has come out of one interface of a tunnel though it was a
// transport's.
type Swallowed struct {
	Interface string
	Packets   uint64 // frames, each of several segments maybe
	Last      time.Time
	Remote    netip.AddrPort // where the last was to go
	Remarked  bool           // the guard has the kernel mark such packets again
	Err       string         // why it cannot; empty if it can
}

// outer knows where the transports send to. The filters are for the data path: they are
// read without a lock, and say of nearly all packets that they are not meant for there.
type outer struct {
	filter     bits // of addresses
	portFilter bits // of ends

	mu        sync.Mutex
	ends      []end // in the order in which they came
	known     map[end]bool
	verdicts  map[flow]judgement
	swallowed map[string]*Swallowed
	remark    remarkState
	isOwn     func(flow) (bool, error) // asks the kernel for the socket
}

// remarkState is what became of marking packets again.
type remarkState struct {
	wanted, done bool
	err          string
}

func newOuter() *outer {
	return &outer{
		known: make(map[end]bool), verdicts: make(map[flow]judgement),
		swallowed: make(map[string]*Swallowed), isOwn: isMarkedSocket,
	}
}

// bits is a set of hashes that may have more in it than was put there.
type bits [endBits / 64]atomic.Uint64

func (b *bits) add(hash uint64) { b[hash>>58].Or(1 << (hash >> 52 % 64)) }

func (b *bits) has(hash uint64) bool { return b[hash>>58].Load()&(1<<(hash>>52%64)) != 0 }

// golden spreads what is multiplied with it over the upper bits (Knuth, The Art of
// Computer Programming, 6.4).
const golden = 0x9e3779b97f4a7c15

// hash4 and hash6 hash the address at b.
func hash4(b []byte) uint64 { return uint64(binary.BigEndian.Uint32(b)) * golden }

func hash6(b []byte) uint64 {
	return (binary.BigEndian.Uint64(b)*golden ^ binary.BigEndian.Uint64(b[8:])) * golden
}

func hashOf(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return hash4(b[:])
	}
	b := a.As16()
	return hash6(b[:])
}

func (e end) hash() uint64 {
	return (hashOf(e.addr) ^ uint64(e.itsPort)<<16 ^ uint64(e.ownPort) ^ uint64(e.ipProto)<<32) * golden
}

// add remembers an end.
func (o *outer) add(e end) {
	e.addr = e.addr.Unmap().WithZone("")
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known[e] {
		return
	}
	if len(o.ends) == maxEnds {
		delete(o.known, o.ends[0])
		o.ends = slices.Delete(o.ends, 0, 1)
	}
	o.ends = append(o.ends, e)
	o.known[e] = true
	o.filter.add(hashOf(e.addr))
	o.portFilter.add(e.hash())
}

// mayBe reports whether an IP packet goes to an address that transports send to, or,
// now and then, another one. It takes nanoseconds.
func (o *outer) mayBe(packet []byte) bool {
	switch {
	case len(packet) >= 24 && packet[0]>>4 == 4:
		return o.filter.has(hash4(packet[16:]))
	case len(packet) >= 44 && packet[0]>>4 == 6:
		return o.filter.has(hash6(packet[24:]))
	}
	return false
}

// flowOf reads where a packet goes. A fragment but the first has no ports.
func flowOf(p []byte) (f flow, ok bool) {
	var src, dst netip.Addr
	var ports []byte
	if p[0]>>4 == 4 {
		n := int(p[0]&15) * 4
		if n < 20 || len(p) < n+4 || binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
			return f, false
		}
		f.ipProto, ports = p[9], p[n:]
		src, dst = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
	} else {
		f.ipProto, ports = p[6], p[40:]
		src, dst = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
		if f.ipProto == unix.IPPROTO_FRAGMENT {
			if len(p) < 52 || binary.BigEndian.Uint16(p[42:])&^7 != 0 {
				return f, false
			}
			f.ipProto, ports = p[40], p[48:]
		}
	}
	f.src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(ports))
	f.dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(ports[2:]))
	return f, f.ipProto == unix.IPPROTO_TCP || f.ipProto == unix.IPPROTO_UDP
}

// owns reports whether a packet that came out of an interface is a transport's, and
// counts it there if so. first is true for the first in a while.
func (o *outer) owns(ifname string, packet []byte) (own, first bool, remote netip.AddrPort) {
	f, ok := flowOf(packet)
	if !ok {
		return false, false, remote
	}
	dialed, other := end{f.ipProto, f.dst.Addr(), f.dst.Port(), 0}, end{f.ipProto, f.dst.Addr(), 0, f.src.Port()}
	if !o.portFilter.has(dialed.hash()) && !o.portFilter.has(other.hash()) {
		return false, false, remote
	}
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.known[dialed] && !o.known[other] || !o.judge(f, now) {
		return false, false, remote
	}
	s := o.swallowed[ifname]
	if s == nil {
		s = &Swallowed{Interface: ifname}
		o.swallowed[ifname] = s
	}
	first = now.Sub(s.Last) > complainEvery
	s.Packets++
	s.Last, s.Remote = now, f.dst
	o.remark.wanted = true
	return true, first, f.dst
}

// judge decides whether a flow is a transport's, for a while. Another program, or one
// behind this router, may send to the same place.
func (o *outer) judge(f flow, now time.Time) bool {
	if v, ok := o.verdicts[f]; ok && now.Before(v.until) {
		return v.own
	}
	own, err := o.isOwn(f)
	if err != nil { // the kernel has no socket diagnosis: what is sent from here must do
		own = isLocal(f.src.Addr())
	}
	if len(o.verdicts) >= maxVerdicts {
		clear(o.verdicts)
	}
	o.verdicts[f] = judgement{own, now.Add(verdictLasts)}
	return own
}

// Own reports whether an IP packet that came out of the interface of a tunnel is one of
// the transports' own, which must not be carried. It counts it, and has the guard do
// something about it. It may be called for each packet, from any goroutine.
func (g *Guard) Own(ifname string, packet []byte) bool {
	if !g.outer.mayBe(packet) {
		return false
	}
	own, first, remote := g.outer.owns(ifname, packet)
	if own && first {
		g.log.Error("a packet of the transports came out of a tunnel and was dropped: an output rule of the firewall replaces its mark, "+
			"most likely by that of its connection (meta mark set ct mark, CONNMARK --restore-mark); have it leave packets with the mark alone",
			"interface", ifname, "remote", remote, "mark", fmt.Sprintf("%#x/%#x", Mark, MarkMask))
	}
	if own {
		g.wake()
	}
	return own
}

// SendsTo tells the guard where a UDP socket of a transport sends to.
func (g *Guard) SendsTo(remote netip.AddrPort, ownPort uint16) {
	g.outer.add(end{ipProto: unix.IPPROTO_UDP, addr: remote.Addr(), ownPort: ownPort})
}

// Swallowed returns what came out of tunnels though it was a transport's, by interface.
func (g *Guard) Swallowed() []Swallowed {
	o := g.outer
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]Swallowed, 0, len(o.swallowed))
	for _, s := range o.swallowed {
		one := *s
		one.Remarked, one.Err = o.remark.done, o.remark.err
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b Swallowed) int { return strings.Compare(a.Interface, b.Interface) })
	return all
}

// noteEnd remembers where a TCP socket is about to be connected to, or, if it has a port
// of ours, is connected to.
func (g *Guard) noteEnd(network, address string, c syscall.RawConn) {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || ap.Addr().IsUnspecified() || !strings.HasPrefix(network, "tcp") {
		return
	}
	e := end{ipProto: unix.IPPROTO_TCP, addr: ap.Addr()}
	if e.ownPort = localPort(c); e.ownPort == 0 {
		e.itsPort = ap.Port()
	}
	g.outer.add(e)
}

func localPort(c syscall.RawConn) uint16 {
	var port int
	_ = c.Control(func(fd uintptr) {
		switch sa, _ := unix.Getsockname(int(fd)); sa := sa.(type) {
		case *unix.SockaddrInet4:
			port = sa.Port
		case *unix.SockaddrInet6:
			port = sa.Port
		}
	})
	return uint16(port)
}
