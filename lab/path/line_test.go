package path

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

// packet returns a frame with an IPv4 UDP packet of a length, with a number in it.
func packet(number uint32, length int) frame {
	b := make([]byte, frameHeader+length)
	copy(b, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0})
	p := b[frameHeader:]
	p[0], p[8], p[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(p[2:], uint16(length))
	copy(p[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
	for i := ipv4Header; i < length; i++ {
		p[i] = byte(i * 7)
	}
	binary.BigEndian.PutUint32(p[ipv4Header+8:], number)
	sumHeader(p[:ipv4Header])
	return frame{data: b}
}

// packet6 is the same over IPv6.
func packet6(length int) frame {
	b := make([]byte, frameHeader+length)
	copy(b, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd})
	p := b[frameHeader:]
	p[0], p[6], p[7] = 0x60, 17, 64
	binary.BigEndian.PutUint16(p[4:], uint16(length-ipv6Header))
	from, to := netip.MustParseAddr("2001:db8::1").As16(), netip.MustParseAddr("2001:db8::2").As16()
	copy(p[8:], from[:])
	copy(p[24:], to[:])
	return frame{data: b}
}

type delivery struct {
	number uint32
	at     int64
	frame  frame
}

func (d delivery) String() string { return fmt.Sprintf("%d at %v", d.number, time.Duration(d.at)) }

// drain takes all that is under way.
func drain(l *line) (out []delivery) {
	for l.next() != noTime {
		at := l.next()
		f := l.take()
		d := delivery{at: at, frame: frame{data: slices.Clone(f.data), back: f.back}}
		if len(f.data) >= frameHeader+ipv4Header+12 {
			d.number = binary.BigEndian.Uint32(f.data[frameHeader+ipv4Header+8:])
		}
		l.done(f)
		out = append(out, d)
	}
	return out
}

// flow sends packets of 500 bytes a millisecond apart, and returns what arrives.
func flow(l *line, packets int, c Conditions) []delivery {
	for i := range packets {
		l.arrive(int64(i)*ms, &c, packet(uint32(i), 500))
	}
	return drain(l)
}

func numbers(ds []delivery) (out []uint32) {
	for _, d := range ds {
		out = append(out, d.number)
	}
	return out
}

func TestDelay(t *testing.T) {
	for _, d := range flow(newLine(1, A), 100, Conditions{Delay: 20 * time.Millisecond}) {
		if want := int64(d.number)*ms + 20*ms; d.at != want {
			t.Errorf("%v, want at %v", d, time.Duration(want))
		}
	}
}

// A change of the delay loses nothing, and overtakes nothing.
func TestDelayChanges(t *testing.T) {
	l := newLine(1, A)
	slow, fast := &Conditions{Delay: 20 * time.Millisecond}, &Conditions{}
	for i := range uint32(100) {
		c := slow
		if i/10%2 == 1 {
			c = fast
		}
		l.arrive(int64(i)*ms, c, packet(i, 500))
	}
	got := drain(l)
	if len(got) != 100 || !slices.IsSorted(numbers(got)) {
		t.Errorf("%v", got)
	}
}

// At 1 Mbit/s a frame of 1250 bytes takes 10 ms, and those behind it wait. When the line has been idle they
// don't.
func TestRate(t *testing.T) {
	l := newLine(1, A)
	c := &Conditions{Rate: 1e6, Queue: time.Second, Delay: 5 * time.Millisecond}
	for i := range uint32(4) {
		l.arrive(0, c, packet(i, 1250-frameHeader))
	}
	l.arrive(100*ms, c, packet(4, 1250-frameHeader))
	got := drain(l)
	for i, want := range []int64{15, 25, 35, 45, 115} {
		if i >= len(got) || got[i].at != want*ms || got[i].number != uint32(i) {
			t.Fatalf("%v: want number %d at %d ms", got, i, want)
		}
	}
}

// What would wait for longer than the queue is dropped, and when the queue gets shorter there is room again.
func TestQueue(t *testing.T) {
	l := newLine(1, A)
	c := &Conditions{Rate: 1e6, Queue: 20 * time.Millisecond}
	for i := range uint32(10) {
		l.arrive(0, c, packet(i, 1250-frameHeader)) // at 0, 10, 20 ms; no more
	}
	for i := range uint32(10) {
		l.arrive(10*ms, c, packet(10+i, 1250-frameHeader)) // at 30 ms; no more
	}
	got := drain(l)
	if want := []uint32{0, 1, 2, 10}; !slices.Equal(numbers(got), want) {
		t.Errorf("%v, want %v", got, want)
	}
	if n := l.counts[Dropped].Load(); n != 16 {
		t.Errorf("%d are counted as dropped", n)
	}
}

// A queue that is full all the time passes the rate, and holds for as long as its length.
func TestQueueFull(t *testing.T) {
	l := newLine(1, A)
	c := &Conditions{Rate: 10e6, Queue: 50 * time.Millisecond}
	came := map[uint32]int64{}
	for i := range uint32(20_000) { // twice the rate, for 10 s
		at := int64(i) * ms / 2
		came[i] = at
		l.arrive(at, c, packet(i, 1250-frameHeader))
	}
	got := drain(l)
	if n := len(got); n < 10_000 || n > 10_060 {
		t.Errorf("%d frames of 1 ms passed in 10 s", n)
	}
	longest := int64(0)
	for _, d := range got {
		longest = max(longest, d.at-came[d.number])
	}
	if longest < 50*ms || longest > 51*ms {
		t.Errorf("the longest wait was %v", time.Duration(longest))
	}
}

func near(t *testing.T, what string, got, of int, share float64) {
	t.Helper()
	if math.Abs(float64(got)/float64(of)-share) > 0.1*share {
		t.Errorf("%d of %d %s, want a share of %v", got, of, what, share)
	}
}

func TestLineLoses(t *testing.T) {
	l := newLine(1, A)
	got := flow(l, 30_000, Conditions{Loss: Loss{Share: 0.1, Run: 5}})
	near(t, "arrive", len(got), 30_000, 0.9)
	if n := l.counts[Lost].Load(); int(n)+len(got) != 30_000 {
		t.Errorf("%d are counted as lost, %d arrive", n, len(got))
	}
	if !slices.IsSorted(numbers(got)) {
		t.Error("loss changed the order")
	}
}

// Late packets arrive, are overtaken by those that come meanwhile, and by no others.
func TestReorder(t *testing.T) {
	l := newLine(1, A)
	got := flow(l, 20_000, Conditions{Delay: 20 * time.Millisecond, Reorder: 0.05, Late: 5500 * time.Microsecond})
	if len(got) != 20_000 {
		t.Fatalf("%d arrive", len(got))
	}
	late := 0
	for i, d := range got {
		switch wait := d.at - int64(d.number)*ms; wait {
		case 20 * ms:
		case 25*ms + ms/2:
			if late++; int(d.number)+5 != i && d.number < 19_990 {
				// Others of the five may be late themselves.
				if behind := i - int(d.number); behind < 0 || behind > 5 {
					t.Errorf("%v is the %dth", d, i)
				}
			}
		default:
			t.Errorf("%v was under way for %v", d, time.Duration(wait))
		}
	}
	near(t, "are late", late, 20_000, 0.05)
	if n := l.counts[Reordered].Load(); int(n) != late {
		t.Errorf("%d are counted as late, not %d", n, late)
	}
}

func TestDuplicate(t *testing.T) {
	l := newLine(1, A)
	got := flow(l, 20_000, Conditions{Duplicate: 0.05})
	times := map[uint32]int{}
	for _, d := range got {
		times[d.number]++
	}
	twice := 0
	for _, n := range times {
		if n > 2 {
			t.Fatalf("one came %d times", n)
		}
		twice += n - 1
	}
	near(t, "come twice", twice, 20_000, 0.05)
	if len(times) != 20_000 || !slices.IsSorted(numbers(got)) || int(l.counts[Duplicated].Load()) != twice {
		t.Errorf("%d packets; in order: %v; %d counted", len(times), slices.IsSorted(numbers(got)), l.counts[Duplicated].Load())
	}
}

// The same seed has the same packets lost, late and twice, whatever else becomes of them; another has others, and so has the
// other direction.
func TestSeed(t *testing.T) {
	bad := Conditions{Loss: Loss{Share: 0.1, Run: 2}, Reorder: 0.1, Late: 3 * time.Millisecond, Duplicate: 0.1}
	first := flow(newLine(7, A), 2000, bad)
	text := fmt.Sprint(first)
	if again := flow(newLine(7, A), 2000, bad); fmt.Sprint(again) != text {
		t.Error("the same seed had another result")
	}
	if other := flow(newLine(8, A), 2000, bad); fmt.Sprint(other) == text {
		t.Error("another seed had the same result")
	}
	if other := flow(newLine(7, B), 2000, bad); fmt.Sprint(other) == text {
		t.Error("the other direction had the same result")
	}
	arrived := func(ds []delivery) []uint32 {
		ns := numbers(ds)
		slices.Sort(ns)
		return slices.Compact(ns)
	}
	lossy := flow(newLine(7, A), 2000, Conditions{Loss: bad.Loss})
	if !slices.Equal(arrived(lossy), arrived(first)) {
		t.Error("reordering and duplication changed what gets lost")
	}
}

// ARP and neighbour discovery are the link's own.
func TestLinkOwn(t *testing.T) {
	arp := frame{data: make([]byte, 42)}
	arp.data[12], arp.data[13] = 8, 6
	solicitation := packet6(ipv6Header + 24)
	p := solicitation.data[frameHeader:]
	p[6], p[7], p[ipv6Header] = protoICMPv6, 255, 135
	c := &Conditions{Delay: time.Second, Loss: Loss{Share: 0.5}, Rate: 1e3, Queue: time.Nanosecond, MTU: 68}
	for _, f := range []frame{arp, solicitation, {data: []byte{1, 2, 3}}} {
		l := newLine(1, A)
		for range 50 {
			l.arrive(ms, c, f)
		}
		got := drain(l)
		if len(got) != 50 || got[49].at != ms {
			t.Errorf("%x: %d of 50 pass", f.data, len(got))
		}
	}
	echo := packet6(ipv6Header + 24)
	p = echo.data[frameHeader:]
	p[6], p[ipv6Header] = protoICMPv6, 128
	if isLinkOwn(echo.data) || isLinkOwn(packet(0, 100).data) {
		t.Error("a packet for elsewhere is taken for the link's own")
	}
}

// What is under way is bounded.
func TestOverrun(t *testing.T) {
	l := newLine(1, A)
	c := &Conditions{Delay: time.Hour}
	f := packet(0, 60)
	for range maxHeld + 10 {
		l.arrive(0, c, f)
	}
	if n := l.counts[Overrun].Load(); n != 10 || len(l.held) != maxHeld {
		t.Errorf("%d over, %d held", n, len(l.held))
	}
}
