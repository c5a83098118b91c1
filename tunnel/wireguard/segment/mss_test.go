package segment

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestClampMSS(t *testing.T) {
	for name, tc := range map[string]struct {
		flow flow
		want uint16 // 0: unchanged
	}{
		"v4":           {flow{flags: tcpSYN, options: []byte{2, 4, 5, 0xb4}}, 1380},
		"v6":           {flow{v6: true, flags: tcpSYN | tcpACK, options: []byte{2, 4, 5, 0xa0}}, 1360},
		"small":        {flow{flags: tcpSYN, options: []byte{2, 4, 5, 0}}, 0},
		"not SYN":      {flow{flags: tcpACK, options: []byte{2, 4, 5, 0xb4}}, 0},
		"odd offset":   {flow{flags: tcpSYN, options: []byte{1, 2, 4, 5, 0xb4, 1, 1, 0}}, 1380},
		"others first": {flow{flags: tcpSYN, options: []byte{4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 2, 4, 0xff, 0xff}}, 1380},
		"after end":    {flow{flags: tcpSYN, options: []byte{0, 0, 0, 0, 2, 4, 5, 0xb4}}, 0},
		"broken":       {flow{flags: tcpSYN, options: []byte{8, 0, 0, 0, 2, 4, 5, 0xb4}}, 0},
		"cut off":      {flow{flags: tcpSYN, options: []byte{1, 1, 1, 2}}, 0},
		"no options":   {flow{flags: tcpSYN}, 0},
		"UDP":          {flow{udp: true}, 0},
	} {
		p := tc.flow.packet(nil)
		before := bytes.Clone(p)
		ClampMSS(p, 1420)
		if tc.want == 0 {
			if !bytes.Equal(p, before) {
				t.Errorf("%s: changed", name)
			}
			continue
		}
		start := len(p) - 20 - len(tc.flow.options)
		if got := naiveTransport(p, 6, start, start+16); got != binary.BigEndian.Uint16(p[start+16:]) {
			t.Errorf("%s: checksum %x, want %x", name, p[start+16:start+18], got)
		}
		if !bytes.Contains(p[start+20:], binary.BigEndian.AppendUint16([]byte{2, 4}, tc.want)) {
			t.Errorf("%s: options %x, want an MSS of %d", name, p[start+20:], tc.want)
		}
	}
}
