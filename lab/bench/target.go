package main

// target is one figure to reach.
type target struct {
	What string  `json:"what"`
	Want string  `json:"want"`
	Got  float64 `json:"got"`
	Met  bool    `json:"met"`
}

// bound is a target as a multiple of a rival's figure in the same run.
type bound struct {
	what   string
	of, to string // contender and rival
	figure metric
	want   string
	met    func(ratio float64) bool
}

func atLeast(least float64) func(float64) bool { return func(v float64) bool { return v >= least } }
func atMost(most float64) func(float64) bool   { return func(v float64) bool { return v <= most } }

// bounds lists what is asked of each transport, in the report's order.
var bounds = []bound{
	{"TLS: one TCP stream, times wireguard-go", nameWarren, nameWireGuard, oneStream, "2.5 or more", atLeast(2.5)},
	{"TLS: one TCP stream, times OpenVPN UDP", nameWarren, nameOpenVPN, oneStream, "10 or more", atLeast(10)},
	{"TLS: four TCP streams, times wireguard-go", nameWarren, nameWireGuard, fourStreams, "3 or more", atLeast(3)},
	{"TLS: idle ping, times OpenVPN UDP's", nameWarren, nameOpenVPN, idlePing, "at most 1", atMost(1)},
	{"WireGuard: one TCP stream, times wireguard-go", nameWarrenWireGuard, nameWireGuard, oneStream,
		"1.5 or more, better 2", atLeast(1.5)},
	{"WireGuard: four TCP streams, times wireguard-go", nameWarrenWireGuard, nameWireGuard, fourStreams,
		"2.5 or more", atLeast(2.5)},
	{"WireGuard: 64-byte UDP, arrived, times wireguard-go", nameWarrenWireGuard, nameWireGuard, packets,
		"2 or more", atLeast(2)},
	{"WireGuard: memory after load, times wireguard-go's", nameWarrenWireGuard, nameWireGuard, loadedRSS,
		"at most 0.05", atMost(0.05)},
	{"WireGuard: idle ping, times wireguard-go's", nameWarrenWireGuard, nameWireGuard, idlePing,
		"at most 0.5", atMost(0.5)},
}

// judge compares what was measured with the targets; one whose figures were not
// measured is left out.
func judge(r *report) []target {
	var out []target
	for _, b := range bounds {
		if got, ok := r.Contenders.ratio(b.of, b.to, b.figure); ok {
			out = append(out, target{b.what, b.want, got, b.met(got)})
		}
	}
	if got, ok := r.Contenders.median(nameWarren, idleRSS); ok {
		out = append(out, target{"TLS: idle memory with one tunnel, MB", "under 60", got, got < 60})
	}
	if i := r.idle(transportTLS); i != nil {
		got := i.PerTunnelKB
		out = append(out, target{"TLS: memory of each further idle tunnel, KB", "under 300", got, got < 300})
	}
	return out
}
