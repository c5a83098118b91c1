package page

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	"warren/internal/status"
)

const (
	sampleInterval = 10 * time.Second
	maxSamples     = int(time.Hour / sampleInterval)
	// maxTunnels bounds the memory to 18 MB. Further tunnels are shown, without a last hour.
	maxTunnels = 4096
)

// hour is the last hour of all tunnels: rings that have the same times. Run alone touches it.
type hour struct {
	times   [maxSamples]int64 // seconds since the epoch
	taken   int               // how many samples ever; the last maxSamples are kept
	latest  time.Time         // of the last one, with the clock that never jumps
	tunnels map[tunnelKey]*series
}

// tunnelKey is a tunnel of a peer.
type tunnelKey struct{ peer, ifname string }

// series is one tunnel's hour. NaN stands for what is not known: before it was there, and while it is down.
type series struct {
	link         int
	from         int                 // the sample that was its first
	seen         int                 // the sample that it was in last
	rx, tx       uint64              // counters then
	rtt, in, out [maxSamples]float32 // milliseconds, bits a second
}

// add puts a sample of all tunnels into the rings. Tunnels that are not in s any more are forgotten.
func (h *hour) add(now time.Time, s status.Status) {
	if h.tunnels == nil {
		h.tunnels = map[tunnelKey]*series{}
	}
	n := h.taken
	h.taken++
	seconds := now.Sub(h.latest).Seconds()
	h.setBack(now)
	h.times[n%maxSamples], h.latest = now.Unix(), now
	for _, p := range s.Peers {
		for _, t := range p.Tunnels {
			h.addTunnel(tunnelKey{p.Name, t.Interface}, t, n, seconds)
		}
	}
	for key, of := range h.tunnels {
		if of.seen != n {
			delete(h.tunnels, key)
		}
	}
}

// setBack moves the times back as the clock was since the last sample, so that none is in the future. One that was set forward is
// not told from a sleep, which the samples before are from before.
func (h *hour) setBack(now time.Time) {
	if h.taken < 2 {
		return
	}
	last := h.times[(h.taken-2)%maxSamples]
	by := last - now.Add(-now.Sub(h.latest)).Unix()
	if by <= 1 { // rounding
		return
	}
	for i := range h.times {
		h.times[i] -= by
	}
}

func (h *hour) addTunnel(key tunnelKey, t status.PeerTunnel, n int, seconds float64) {
	of := h.tunnels[key]
	known := of != nil
	if !known {
		if len(h.tunnels) >= maxTunnels {
			return
		}
		of = &series{from: n}
		h.tunnels[key] = of
	}
	nan := float32(math.NaN())
	i := n % maxSamples
	of.rtt[i], of.in[i], of.out[i] = nan, nan, nan
	if t.State == "up" {
		if t.RTT > 0 {
			of.rtt[i] = float32(time.Duration(t.RTT).Seconds() * 1000)
		}
		// Counters that are lower than before are those of another interface.
		if known && seconds > 0 && t.RxBytes >= of.rx && t.TxBytes >= of.tx {
			of.in[i] = float32(float64(t.RxBytes-of.rx) * 8 / seconds)
			of.out[i] = float32(float64(t.TxBytes-of.tx) * 8 / seconds)
		}
	}
	of.link, of.seen, of.rx, of.tx = t.Link, n, t.RxBytes, t.TxBytes
}

// samples is the last hour of some tunnels, the oldest first, in JSON.
type samples struct {
	IntervalS float64         `json:"interval_s"`
	Times     []int64         `json:"times"` // seconds since the epoch
	Tunnels   []tunnelSamples `json:"tunnels"`
}

// tunnelSamples are as many values of each kind as there are times.
type tunnelSamples struct {
	Peer      string `json:"peer"`
	Interface string `json:"interface"`
	Link      int    `json:"link"`
	RTT       values `json:"rtt_ms"`
	In        values `json:"receive_bits"`  // a second
	Out       values `json:"transmit_bits"` // a second
}

// of is the last hour of the tunnels of peers. The caller owns it.
func (h *hour) of(peers []string) samples {
	out := samples{IntervalS: sampleInterval.Seconds(), Times: []int64{}, Tunnels: []tunnelSamples{}}
	first := max(0, h.taken-maxSamples)
	for n := first; n < h.taken; n++ {
		out.Times = append(out.Times, h.times[n%maxSamples])
	}
	for key, of := range h.tunnels {
		if !slices.Contains(peers, key.peer) {
			continue
		}
		out.Tunnels = append(out.Tunnels, tunnelSamples{
			Peer: key.peer, Interface: key.ifname, Link: of.link,
			RTT: h.unrolled(&of.rtt, of.from), In: h.unrolled(&of.in, of.from), Out: h.unrolled(&of.out, of.from),
		})
	}
	slices.SortFunc(out.Tunnels, func(a, b tunnelSamples) int {
		return cmp.Or(cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Link, b.Link))
	})
	return out
}

// unrolled copies a ring, the oldest value first. from is the sample before which nothing is known.
func (h *hour) unrolled(ring *[maxSamples]float32, from int) values {
	out := make(values, 0, maxSamples)
	for n := max(0, h.taken-maxSamples); n < h.taken; n++ {
		if n < from {
			out = append(out, float32(math.NaN()))
			continue
		}
		out = append(out, ring[n%maxSamples])
	}
	return out
}

// values are numbers that JSON has with four digits, and null for NaN.
type values []float32

// MarshalJSON implements json.Marshaler.
func (v values) MarshalJSON() ([]byte, error) {
	out := append(make([]byte, 0, 6*len(v)+2), '[')
	for i, x := range v {
		if i > 0 {
			out = append(out, ',')
		}
		if math.IsNaN(float64(x)) {
			out = append(out, "null"...)
			continue
		}
		out = strconv.AppendFloat(out, float64(x), 'g', 4, 32)
	}
	return append(out, ']'), nil
}
