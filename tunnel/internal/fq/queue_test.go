package fq

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

var usual = Limits{Target: 5 * ms, Interval: 100 * ms}

// owner is who uses a Queue: it knows what became of each packet. A packet has its flow in its first bytes, its number in the flow
// behind that, and then whether it takes marks, and has one.
type owner struct {
	*Queue
	pushed  map[uint64]uint32
	dropped []*Packet
	marked  int
	waiting int // bytes
	out     int
	lost    int
}

const able, congested = 1, 2

func newOwner() *owner {
	o := &owner{pushed: map[uint64]uint32{}}
	o.Queue = New(Hooks{
		Mark: func(p *Packet) bool {
			if p.Data[12] != able && p.Data[12] != congested {
				return false
			}
			p.Data[12] = congested
			o.marked++
			return true
		},
		Drop: func(p *Packet) {
			o.dropped = append(o.dropped, p)
			o.waiting -= len(p.Data)
			o.lost += len(p.Data)
		},
	})
	return o
}

func (o *owner) push(now time.Duration, flow uint64, size int, takesMarks ...bool) {
	p := &Packet{Data: make([]byte, max(size, 16))}
	binary.BigEndian.PutUint64(p.Data, flow)
	binary.BigEndian.PutUint32(p.Data[8:], o.pushed[flow])
	if len(takesMarks) > 0 && takesMarks[0] {
		p.Data[12] = able
	}
	o.pushed[flow]++
	o.waiting += len(p.Data)
	o.Push(now, flow, p)
}

func (o *owner) pop(now time.Duration, limits Limits) (flow uint64, number uint32, size int, ok bool) {
	p := o.Pop(now, limits)
	if p == nil {
		return 0, 0, 0, false
	}
	o.waiting -= len(p.Data)
	o.out += len(p.Data)
	return binary.BigEndian.Uint64(p.Data), binary.BigEndian.Uint32(p.Data[8:]), len(p.Data), true
}

// What a queue without delay gives: the turns.
func TestTurns(t *testing.T) {
	type packet struct {
		flow uint64
		size int
	}
	for name, tc := range map[string]struct {
		in  []packet
		out []uint64 // flows
	}{
		"nothing":            {nil, nil},
		"one flow":           {[]packet{{1, 100}, {1, 1500}, {1, 60}}, []uint64{1, 1, 1}},
		"flows take turns":   {[]packet{{1, 1500}, {1, 1500}, {1, 1500}, {2, 1500}, {2, 1500}}, []uint64{1, 1, 2, 2, 1}},
		"by bytes":           {[]packet{{1, 3028}, {1, 3028}, {2, 1514}, {2, 1514}, {2, 1514}, {2, 1514}}, []uint64{1, 2, 2, 1, 2, 2}},
		"few bytes go first": {[]packet{{1, 1600}, {1, 1600}, {1, 1600}, {2, 60}, {3, 60}}, []uint64{1, 2, 3, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			o, flows := newOwner(), map[uint64]bool{}
			for _, p := range tc.in {
				o.push(0, p.flow, p.size)
				flows[p.flow] = true
			}
			if o.Flows() != len(flows) {
				t.Errorf("packets of %d flows, want %d", o.Flows(), len(flows))
			}
			var got []uint64
			for {
				flow, _, _, ok := o.pop(0, usual)
				if !ok {
					break
				}
				got = append(got, flow)
			}
			if !slices.Equal(got, tc.out) || o.Len() != 0 || o.Flows() != 0 {
				t.Fatalf("%v, want %v; %d left, of %d flows", got, tc.out, o.Len(), o.Flows())
			}
		})
	}
}

// A packet of a flow that sends little goes before those that wait of flows that send much; if it has just had a turn, each
// of those has one before.
func TestSparseFlowPassesBy(t *testing.T) {
	const greedy, size = 10, 1500
	o := newOwner()
	for flow := range uint64(greedy) {
		for range 50 {
			o.push(0, flow, size)
		}
	}
	for range 100 { // they have had their first turn
		o.pop(0, usual)
	}
	for i := range 20 {
		o.push(0, 99, 100)
		waited := 0
		for {
			flow, _, n, _ := o.pop(0, usual)
			if flow == 99 {
				break
			}
			waited += n
		}
		if i == 0 && waited > size {
			t.Errorf("the first packet waited for %d bytes of others", waited)
		}
		if waited > greedy*(quantum+size) {
			t.Errorf("packet %d waited for %d bytes of others", i, waited)
		}
	}
}

// serve sends packets of senders over a line for so long; each always has as many bytes waiting as are given.
func serve(o *owner, forTime time.Duration, rate float64, senders map[uint64]func() int, keep int) map[uint64]int {
	sent, waiting := map[uint64]int{}, map[uint64]int{}
	flows := []uint64{}
	for f := range senders {
		flows = append(flows, f)
	}
	slices.Sort(flows)
	for now := time.Duration(0); now < forTime; {
		for _, f := range flows {
			for waiting[f] < keep {
				size := senders[f]()
				o.push(now, f, size)
				waiting[f] += max(size, 16)
			}
		}
		flow, _, size, ok := o.pop(now, usual)
		for _, p := range o.dropped {
			waiting[binary.BigEndian.Uint64(p.Data)] -= len(p.Data)
		}
		o.dropped = nil
		if !ok {
			break
		}
		waiting[flow] -= size
		sent[flow] += size
		now += time.Duration(float64(size) / rate * float64(time.Second))
	}
	return sent
}

// Flows that send as much as they can get the same share of a line, whatever sizes their packets have.
func TestGreedyFlowsShareFairly(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	sizes := map[string]func() int{
		"full":    func() int { return 1500 },
		"small":   func() int { return 200 },
		"frames":  func() int { return 64 << 10 },
		"various": func() int { return 60 + r.IntN(20000) },
	}
	for a, size := range sizes {
		for b, other := range sizes {
			for _, rate := range []float64{10e6 / 8, 100e6 / 8} {
				// CoDel has flows hear of congestion one by one, and so is fair over some time.
				sent := serve(newOwner(), time.Duration(5e6/rate*float64(time.Second)), rate, map[uint64]func() int{1: size, 2: other}, 200<<10)
				if share := float64(sent[1]) / float64(sent[1]+sent[2]); share < 0.45 || share > 0.55 {
					t.Errorf("%s beside %s at %.0f bytes a second: a share of %.3f", a, b, rate, share)
				}
			}
		}
	}
}

// A queue that never gets short has packets dropped more and more often, as RFC 8289 says: an interval after it was too long first, then
// after 1/sqrt(n) of that. Flows that take marks lose none.
func TestDropsMoreAndMoreOften(t *testing.T) {
	for _, marks := range []bool{false, true} {
		o := newOwner()
		var told []time.Duration
		before := 0
		for now := time.Duration(0); now < 600*ms; now += ms {
			o.push(now, 1, 1500, marks)
			o.push(now, 1, 1500, marks)
			o.pop(now, usual)
			if n := len(o.dropped) + o.marked; n > before {
				told = append(told, now)
				before = n
			}
		}
		// The first packet to have waited for 5 ms is seen at 10 ms.
		want := []time.Duration{110 * ms, 210 * ms, 281 * ms, 339 * ms, 389 * ms, 434 * ms, 475 * ms, 513 * ms, 549 * ms, 582 * ms}
		if len(told) != len(want) {
			t.Fatalf("marks %v: told at %v, want %v", marks, told, want)
		}
		for i := range want {
			if d := told[i] - want[i]; d < -3*ms || d > 3*ms {
				t.Errorf("marks %v: told at %v, want %v", marks, told, want)
				break
			}
		}
		if marks && len(o.dropped) > 0 || !marks && o.marked > 0 {
			t.Errorf("marks %v: %d dropped, %d marked", marks, len(o.dropped), o.marked)
		}
	}
}

// A burst that is sent within an interval loses nothing, nor does a queue of one packet, however slow.
func TestShortQueuesLoseNothing(t *testing.T) {
	o := newOwner()
	for range 60 {
		o.push(0, 1, 1500)
	}
	for now := ms; o.Len() > 0; now += ms {
		o.pop(now, usual)
	}
	for now := time.Second; now < 20*time.Second; now += 500 * ms {
		o.push(now, 2, 1500)
		o.pop(now+400*ms, usual)
	}
	if len(o.dropped) > 0 {
		t.Fatalf("%d dropped", len(o.dropped))
	}
}

// What waits is bounded, and the flow that has most pays for it.
func TestOverflowIsTakenFromTheLongest(t *testing.T) {
	o := newOwner()
	for i := range 10 {
		o.push(0, uint64(i), 1500)
	}
	for range 3 * MaxPackets {
		o.push(0, 77, 200)
	}
	for range 2 * MaxBytes / (64 << 10) {
		o.push(0, 78, 64<<10)
		if o.memory > MaxBytes || o.packets > MaxPackets {
			t.Fatalf("%d bytes, %d packets wait", o.memory, o.packets)
		}
	}
	for _, p := range o.dropped {
		if flow := binary.BigEndian.Uint64(p.Data); flow < 10 {
			t.Fatalf("flow %d lost a packet, which has but one", flow)
		}
	}
}

func TestClear(t *testing.T) {
	o := newOwner()
	for i := range 100 {
		o.push(0, uint64(i), 100)
	}
	o.Clear()
	if o.Len() != 0 || len(o.dropped) != 100 || o.waiting != 0 || o.memory != 0 {
		t.Fatalf("%d wait, %d dropped", o.Len(), len(o.dropped))
	}
	o.push(0, 1, 100)
	if _, _, _, ok := o.pop(0, usual); !ok {
		t.Fatal("it does not work any more")
	}
}

// Whatever happens, packets of a flow stay in order, bytes are conserved, and the bounds hold.
func FuzzQueue(f *testing.F) {
	f.Add([]byte("abcdefghijklmnopqrstuvwxyz"), uint64(1))
	f.Add([]byte{0, 255, 3, 128, 7, 7, 7, 9}, uint64(2))
	f.Fuzz(func(t *testing.T, steps []byte, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		o := newOwner()
		next, in, now := map[uint64]uint32{}, 0, time.Duration(0)
		for _, s := range steps[:min(len(steps), 2000)] {
			now += time.Duration(r.IntN(30)) * ms
			for range s % 32 {
				flow, size := uint64(r.IntN(300)), 16+r.IntN(1<<r.IntN(17))
				if s&32 != 0 {
					flow = 1
				}
				in += size
				o.push(now, flow, size, s&64 != 0)
			}
			for range s / 8 {
				flow, number, _, ok := o.pop(now, usual)
				if !ok {
					if o.Len() != 0 || o.waiting != 0 {
						t.Fatalf("nothing comes, and %d packets wait", o.Len())
					}
					break
				}
				if number < next[flow] {
					t.Fatalf("flow %d: packet %d after %d", flow, number, next[flow]-1)
				}
				next[flow] = number + 1
			}
			if in != o.out+o.lost+o.waiting {
				t.Fatalf("%d bytes in, %d out, %d lost, %d wait", in, o.out, o.lost, o.waiting)
			}
			if o.memory > MaxBytes || o.packets > MaxPackets {
				t.Fatalf("%d bytes, %d packets wait", o.memory, o.packets)
			}
		}
	})
}

// The packet that has waited for longest may be of any flow.
func TestOldest(t *testing.T) {
	o := newOwner()
	if _, ok := o.Oldest(); ok {
		t.Error("something waits in an empty queue")
	}
	for i, flow := range []uint64{3, 1, 2, 1} { // a packet takes a turn
		o.Push(time.Duration(10+i), flow, &Packet{Data: make([]byte, 2*quantum)})
	}
	for _, want := range []time.Duration{10, 11, 12, 13} {
		if came, ok := o.Oldest(); !ok || came != want {
			t.Errorf("%v, %v; want %v", came, ok, want)
		}
		if p := o.Pop(20, usual); p.Came() != want {
			t.Errorf("%v comes out, want %v", p.Came(), want)
		}
	}
}
