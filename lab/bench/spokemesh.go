package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"warren/lab/topo"
)

const (
	// spokeInterval is between two packets of a pair. With 20 ms, 20,000 packets a second for 200 spokes, sending and forwarding them
	// alone took all of two processors, and what was measured was who gets one.
	spokeInterval = 50 * time.Millisecond
	spokePort     = 5400
	// spokePacing is how many packets are sent at once where nothing else says.
	spokePacing = 20
)

// firstRound is more than any packet's number in a flow.
const firstRound = 1 << 30

// spokeStrides say which pairs are watched: each spoke sends to those so many numbers further.
var spokeStrides = []int{1, 89}

// spokeMesh sends packets from spokes to spokes. Its methods are called by one goroutine.
type spokeMesh struct {
	conns   []*net.UDPConn // by spoke
	addrs   []netip.AddrPort
	reading sync.WaitGroup

	mu    sync.Mutex
	pairs map[[2]int]*spokePair // those that are watched at the moment
	heard map[[2]int]bool       // of which a packet of this round has arrived
	round int                   // the number of its packets
}

// spokePair is what one spoke has sent to another one.
type spokePair struct {
	sent    []time.Time
	arrived []bool
}

// spokeFigures is what became of the packets of all watched pairs.
type spokeFigures struct {
	medianMS, worstMS float64 // how long a pair was parted
	lost              int
}

// newSpokeMesh opens a socket in each spoke's namespace.
func newSpokeMesh(n *spokeNet) (*spokeMesh, error) {
	m := &spokeMesh{round: firstRound}
	for i, h := range n.spokeHosts {
		at := netip.AddrPortFrom(netip.MustParseAddr(spokeAddr(i)), spokePort)
		conn, err := listenIn(h, at)
		if err != nil {
			return nil, errors.Join(err, m.close())
		}
		m.conns, m.addrs = append(m.conns, conn), append(m.addrs, at)
	}
	for i, conn := range m.conns {
		m.reading.Add(1)
		go m.read(i, conn)
	}
	return m, nil
}

// listenIn opens a UDP socket in a host's namespace.
func listenIn(h *topo.Host, at netip.AddrPort) (conn *net.UDPConn, err error) {
	err = inside(h, func() (err error) {
		conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
		return err
	})
	return conn, err
}

// close closes all sockets, and waits until nothing is read from them.
func (m *spokeMesh) close() error {
	var errs []error
	for _, c := range m.conns {
		errs = append(errs, c.Close())
	}
	m.reading.Wait()
	return errors.Join(errs...)
}

// read notes what arrives at a spoke until its socket is closed.
func (m *spokeMesh) read(to int, conn *net.UDPConn) {
	defer m.reading.Done()
	var b [udpPayload]byte
	for {
		n, err := conn.Read(b[:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n != 8 {
			continue
		}
		pair, number := [2]int{int(binary.BigEndian.Uint32(b[:])), to}, int(binary.BigEndian.Uint32(b[4:]))
		m.mu.Lock()
		if p := m.pairs[pair]; p != nil && number < len(p.arrived) {
			p.arrived[number] = true
		}
		if number == m.round {
			m.heard[pair] = true
		}
		m.mu.Unlock()
	}
}

// send sends a packet; what cannot be sent, for want of a route, is lost.
func (m *spokeMesh) send(pair [2]int, number int) {
	var b [8]byte
	binary.BigEndian.PutUint32(b[:], uint32(pair[0]))
	binary.BigEndian.PutUint32(b[4:], uint32(number))
	_, _ = m.conns[pair[0]].WriteToUDPAddrPort(b[:], m.addrs[pair[1]])
}

// during runs f while packets flow, from before it until after every spoke has reached every other one.
func (m *spokeMesh) during(ctx context.Context, f func() error) (spokeFigures, error) {
	pairs := map[[2]int]*spokePair{}
	for i := range m.conns {
		for _, stride := range spokeStrides {
			if j := (i + stride) % len(m.conns); j != i {
				pairs[[2]int{i, j}] = &spokePair{}
			}
		}
	}
	m.watch(pairs)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		m.flow(pairs, stop)
	}()
	err := pause(ctx, failoverSettle)
	if err == nil {
		err = f()
	}
	if err == nil {
		err = m.all(ctx)
	}
	if err == nil {
		err = pause(ctx, failoverSettle)
	}
	close(stop)
	<-stopped
	err = errors.Join(err, pause(ctx, flowSilence)) // what is on its way still arrives
	m.watch(nil)
	return assessPairs(pairs), err
}

// watch has read note what arrives of these pairs.
func (m *spokeMesh) watch(pairs map[[2]int]*spokePair) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pairs = pairs
}

// flow sends for all pairs, their packets spread evenly over the interval, until it is told to stop.
func (m *spokeMesh) flow(pairs map[[2]int]*spokePair, stop <-chan struct{}) {
	order := make([][2]int, 0, len(pairs))
	for p := range pairs {
		order = append(order, p)
	}
	slots := int(spokeInterval / time.Millisecond)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for slot := 0; ; slot = (slot + 1) % slots {
		for i := slot; i < len(order); i += slots {
			m.mu.Lock()
			p := pairs[order[i]]
			number := len(p.sent)
			p.sent, p.arrived = append(p.sent, time.Now()), append(p.arrived, false)
			m.mu.Unlock()
			m.send(order[i], number)
		}
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

// all waits until a packet from every spoke has arrived at every other one that was sent after the call.
func (m *spokeMesh) all(ctx context.Context) error {
	m.mu.Lock()
	m.round++
	m.heard = map[[2]int]bool{}
	round := m.round
	m.mu.Unlock()
	_, err := topo.Eventually(ctx, countInterval, spokesWithin, func() error {
		missing := m.unheard()
		for k, pair := range missing {
			m.send(pair, round)
			if k%spokePacing == 0 {
				if err := pause(ctx, time.Millisecond); err != nil {
					return err
				}
			}
		}
		if err := pause(ctx, 10*spokeInterval); err != nil {
			return err
		}
		if missing = m.unheard(); len(missing) > 0 {
			return fmt.Errorf("%d pairs of spokes do not reach one another, %s and %s among them", len(missing),
				spokeAddr(missing[0][0]), spokeAddr(missing[0][1]))
		}
		return nil
	})
	return err
}

// unheard are the pairs of which nothing has arrived.
func (m *spokeMesh) unheard() (out [][2]int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.conns {
		for j := range m.conns {
			if pair := [2]int{i, j}; i != j && !m.heard[pair] {
				out = append(out, pair)
			}
		}
	}
	return out
}

// assessPairs finds for each pair the longest time between the sending of two packets that arrived, of which
// the last is that of the last packet whether it arrived or not.
func assessPairs(pairs map[[2]int]*spokePair) (f spokeFigures) {
	var parted []float64
	for _, p := range pairs {
		longest, last := time.Duration(0), 0
		for k, at := range p.sent {
			if !p.arrived[k] {
				f.lost++
			}
			if p.arrived[k] || k == len(p.sent)-1 {
				longest, last = max(longest, at.Sub(p.sent[last])), k
			}
		}
		parted = append(parted, millis(longest))
	}
	if len(parted) == 0 {
		return f
	}
	slices.Sort(parted)
	f.medianMS, f.worstMS = parted[len(parted)/2], parted[len(parted)-1]
	return f
}
