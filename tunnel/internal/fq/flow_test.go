package fq

import "testing"

// Packets are of one flow if addresses, protocol and ports are the same.
func TestFlow(t *testing.T) {
	v4 := func(change func(p []byte)) []byte {
		p := make([]byte, 60)
		p[0], p[9], p[15], p[19], p[20], p[23] = 0x45, tcp, 1, 2, 80, 90
		change(p)
		return p
	}
	v6 := func(change func(p []byte)) []byte {
		p := make([]byte, 80)
		p[0], p[6], p[23], p[39], p[40], p[43] = 0x60, udp, 1, 2, 80, 90
		change(p)
		return p
	}
	none := func([]byte) {}
	for name, tc := range map[string]struct {
		a, b []byte
		same bool
	}{
		"IPv4, other payload":             {v4(none), v4(func(p []byte) { p[50], p[1], p[4] = 1, 2, 3 }), true},
		"IPv4, other source":              {v4(none), v4(func(p []byte) { p[12] = 9 }), false},
		"IPv4, other destination":         {v4(none), v4(func(p []byte) { p[16] = 9 }), false},
		"IPv4, other protocol":            {v4(none), v4(func(p []byte) { p[9] = udp }), false},
		"IPv4, other source port":         {v4(none), v4(func(p []byte) { p[21] = 9 }), false},
		"IPv4, other destination port":    {v4(none), v4(func(p []byte) { p[22] = 9 }), false},
		"IPv4, ports behind options":      {v4(func(p []byte) { p[0], p[24] = 0x46, 1 }), v4(func(p []byte) { p[0], p[24] = 0x46, 2 }), false},
		"IPv4, fragments":                 {v4(func(p []byte) { p[6], p[20] = 0x20, 1 }), v4(func(p []byte) { p[7], p[20] = 5, 2 }), true},
		"IPv4, ICMP":                      {v4(func(p []byte) { p[9], p[20] = 1, 8 }), v4(func(p []byte) { p[9], p[20] = 1, 0 }), true},
		"IPv6, other payload":             {v6(none), v6(func(p []byte) { p[60], p[1] = 1, 2 }), true},
		"IPv6, other source":              {v6(none), v6(func(p []byte) { p[8] = 9 }), false},
		"IPv6, other destination":         {v6(none), v6(func(p []byte) { p[24] = 9 }), false},
		"IPv6, other port":                {v6(none), v6(func(p []byte) { p[41] = 9 }), false},
		"IPv6, fragments":                 {v6(func(p []byte) { p[6], p[40] = 44, 1 }), v6(func(p []byte) { p[6], p[40] = 44, 2 }), true},
		"cut short":                       {v4(none)[:22], v4(none)[:21], true},
		"nothing, and no IP":              {nil, []byte{0x10, 1}, true},
		"shorter than its header says":    {v4(func(p []byte) { p[0] = 0x4f })[:24], v4(func(p []byte) { p[0] = 0x4f })[:23], true},
		"IPv4 and IPv6 of the same bytes": {v4(none), v6(none), false},
	} {
		if same := Flow(tc.a) == Flow(tc.b); same != tc.same {
			t.Errorf("%s: one flow %v, want %v", name, same, tc.same)
		}
	}
}

func BenchmarkPushPop(b *testing.B) {
	q := New(Hooks{Mark: func(*Packet) bool { return false }, Drop: func(*Packet) {}})
	p := &Packet{Data: make([]byte, 1500)}
	for b.Loop() {
		q.Push(0, 1, p)
		q.Pop(0, usual)
	}
}
