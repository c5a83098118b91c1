package page

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
	"unsafe"

	"warren/internal/status"
)

// with is a status in which a tunnel has received so many bytes, and sent half of it.
func with(name string, state string, rtt time.Duration, received uint64) status.Status {
	p := peer(0, name)
	t := &p.Tunnels[0]
	t.State, t.RTT, t.RxBytes, t.TxBytes = state, status.Millis(rtt), received, received/2
	return status.Status{Peers: []status.Peer{p}}
}

func TestHour(t *testing.T) {
	var h hour
	now := time.Unix(1_700_000_000, 0)
	for _, s := range []status.Status{
		with("site-b", "up", 20*time.Millisecond, 1000), // no rate: nothing is known of before
		with("site-b", "up", 20500*time.Microsecond, 2250),
		with("site-b", "down", 0, 2250),
		with("site-b", "up", 0, 3500),                   // not measured yet
		with("site-b", "up", 21*time.Millisecond, 100),  // another interface of that name
		with("site-b", "up", 22*time.Millisecond, 1350), // and that one's
	} {
		h.add(now, s)
		now = now.Add(sampleInterval)
	}
	got, err := json.Marshal(h.of([]string{"site-b", "site-x", "site-b"}))
	want := `{"interval_s":10,"times":[1700000000,1700000010,1700000020,1700000030,1700000040,1700000050],"tunnels":[` +
		`{"peer":"site-b","interface":"site-b","link":0,"rtt_ms":[20,20.5,null,null,21,22],` +
		`"receive_bits":[null,1000,null,1000,null,1000],"transmit_bits":[null,500,null,500,null,500]}]}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s, want\n%s", err, got, want)
	}
}

// A tunnel has at most an hour, one that comes later less, and one that has gone nothing.
func TestHourIsBounded(t *testing.T) {
	var h hour
	now := time.Unix(1_700_000_000, 0)
	for n := range maxSamples + 100 {
		s := with("site-b", "up", time.Duration(n+1)*time.Millisecond, uint64(n))
		if n >= maxSamples {
			s.Peers = append(s.Peers, with("site-c", "up", time.Millisecond, 0).Peers...)
		}
		h.add(now, s)
		now = now.Add(sampleInterval)
	}
	got := h.of([]string{"site-c", "site-b"})
	b, c := got.Tunnels[0], got.Tunnels[1]
	if len(got.Times) != maxSamples || len(b.RTT) != maxSamples || len(c.RTT) != maxSamples || b.RTT[0] != 101 || b.RTT[maxSamples-1] != float32(maxSamples+100) {
		t.Errorf("%d times, %d values from %v", len(got.Times), len(b.RTT), b.RTT[0])
	}
	if first := c.RTT[maxSamples-101]; !math.IsNaN(float64(first)) || c.RTT[maxSamples-100] != 1 {
		t.Errorf("site-c: %v, %v", first, c.RTT[maxSamples-100])
	}
	h.add(now, with("site-c", "up", time.Millisecond, 0))
	if got := h.of([]string{"site-b", "site-c"}); len(got.Tunnels) != 1 || len(h.tunnels) != 1 {
		t.Errorf("%d tunnels are kept, of which one is there", len(h.tunnels))
	}
	if size := unsafe.Sizeof(series{}); size > 4400 {
		t.Errorf("a tunnel's hour takes %d bytes", size)
	}
	var many status.Status
	for i := range maxTunnels + 10 {
		many.Peers = append(many.Peers, peer(i, fmt.Sprint("p", i)))
	}
	h.add(now.Add(sampleInterval), many)
	if len(h.tunnels) > maxTunnels {
		t.Errorf("%d tunnels", len(h.tunnels))
	}
}

// When the clock is set back no sample stays in the future.
func TestHourWhenTheClockIsSetBack(t *testing.T) {
	var h hour
	now := time.Unix(1_700_000_000, 0)
	for range 2 {
		h.add(now, with("site-b", "up", time.Millisecond, 0))
		now = now.Add(sampleInterval)
	}
	for i := range h.times { // until now it was that much later
		h.times[i] += 9000 * 3600
	}
	h.add(now, with("site-b", "up", time.Millisecond, 0))
	h.add(now.Add(sampleInterval), with("site-b", "up", time.Millisecond, 0))
	if got := h.of([]string{"site-b"}).Times; !slices.Equal(got, []int64{1_700_000_000, 1_700_000_010, 1_700_000_020, 1_700_000_030}) {
		t.Errorf("%v", got)
	}
}
