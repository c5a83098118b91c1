package underlay

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A packet of a transport that comes out of a tunnel's interface, be it another
// tunnel's, has lost its mark on its way through the firewall: an output rule has
// written another one over it, most often that of the connection (`meta mark set ct
// mark`, CONNMARK --restore-mark), and the kernel then looked for the way again. If
// it were carried, the tunnel would carry itself.

const (
	maxRemotes    = 4096 // that are remembered; the oldest go
	filterBits    = 4096 // of the filters that nearly all packets pass by
	maxVerdicts   = 256
	verdictLasts  = time.Second
	complainEvery = time.Minute
)

// end is where a transport sends to, with a remote's address, or where it sends from, a
// port of ours.
type end struct {
	ipProto uint8
	addr    netip.Addr // not valid for a port of ours
	port    uint16
}

// judgement says for a moment whether a flow is a transport's.
type judgement struct {
	own   bool
	until time.Time
}

// outer knows where the transports send to and from. The filters are for the data path:
// they are read without a lock, and say of nearly all packets that they are not theirs.
type outer struct {
	remoteAddrs bits
	ends        bits
	locals      atomic.Pointer[locals]

	mu        sync.Mutex
	remotes   []end // in the order in which they came
	known     map[end]bool
	verdicts  map[flow]judgement
	swallowed map[string]*Swallowed
	remark    remarkState
	isOwn     func(flow) (bool, error) // asks the kernel for the socket
	now       func() time.Time
}

// locals is the addresses of this host on the underlay. It is not changed once made.
type locals struct {
	filter bits
	addrs  map[netip.Addr]bool
}

// remarkState is what became of marking packets again.
type remarkState struct {
	wanted, done bool
	err          string
}

func newOuter() *outer {
	o := &outer{
		known: make(map[end]bool), verdicts: make(map[flow]judgement),
		swallowed: make(map[string]*Swallowed), isOwn: isMarkedSocket, now: time.Now,
	}
	o.locals.Store(new(locals))
	return o
}

func (o *outer) setLocals(addrs []netip.Addr) {
	l := &locals{addrs: make(map[netip.Addr]bool, len(addrs))}
	for _, a := range addrs {
		l.addrs[a] = true
		l.filter.add(hashOf(a))
	}
	o.locals.Store(l)
}

// add remembers an end.
func (o *outer) add(e end) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known[e] {
		return
	}
	if e.addr.IsValid() {
		if len(o.remotes) == maxRemotes {
			delete(o.known, o.remotes[0])
			o.remotes = slices.Delete(o.remotes, 0, 1)
		}
		o.remotes = append(o.remotes, e)
		o.remoteAddrs.add(hashOf(e.addr))
	}
	o.known[e] = true
	o.ends.add(e.hash())
}

// remove forgets a port of ours. The filter keeps its bit, which costs a look at known.
func (o *outer) remove(e end) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.known, e)
}

// mayBe reports whether an IP packet goes to an address that transports dial or comes from
// one of this host on the underlay, or, now and then, of another one. It takes nanoseconds.
func (o *outer) mayBe(packet []byte) bool {
	var src, dst uint64
	switch {
	case len(packet) >= 24 && packet[0]>>4 == 4:
		src, dst = hash4(packet[12:]), hash4(packet[16:])
	case len(packet) >= 44 && packet[0]>>4 == 6:
		src, dst = hash6(packet[8:]), hash6(packet[24:])
	default:
		return false
	}
	return o.remoteAddrs.has(dst) || o.locals.Load().filter.has(src)
}

// owns reports whether a packet that came out of an interface is a transport's, and
// counts it there if so. first is true for the first in a while.
func (o *outer) owns(ifname string, packet []byte) (own, first bool, remote netip.AddrPort) {
	f, ok := flowOf(packet)
	if !ok {
		return false, false, remote
	}
	to, from := end{f.ipProto, f.dst.Addr(), f.dst.Port()}, end{ipProto: f.ipProto, port: f.src.Port()}
	fromHere := o.locals.Load().addrs[f.src.Addr()]
	dialed, ours := o.ends.has(to.hash()), fromHere && o.ends.has(from.hash())
	if !dialed && !ours {
		return false, false, remote
	}
	now := o.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	dialed, ours = o.known[to], fromHere && o.known[from]
	if !dialed && !ours || !o.judge(f, fromHere, now) {
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
func (o *outer) judge(f flow, fromHere bool, now time.Time) bool {
	if v, ok := o.verdicts[f]; ok && now.Before(v.until) {
		return v.own
	}
	own, err := o.isOwn(f)
	if err != nil { // the kernel has no socket diagnosis: what is sent from here must do
		own = fromHere
	}
	if len(o.verdicts) >= maxVerdicts {
		clear(o.verdicts)
	}
	o.verdicts[f] = judgement{own, now.Add(verdictLasts)}
	return own
}
