package judge

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
)

// fullTable writes UPDATEs that announce n prefixes, six each, of which each
// third has the same attributes as one before.
func fullTable(f, n int) []byte {
	var b []byte
	for i := 0; i < n; i += 6 {
		var nlri []byte
		for j := i; j < i+6; j++ {
			if f == IPv4 {
				nlri = binary.BigEndian.AppendUint32(append(nlri, 24), uint32(1<<28+j<<8))[:4*(j-i+1)]
			} else {
				nlri = binary.BigEndian.AppendUint32(append(nlri, 48, 0x20, 0x01), uint32(j))
			}
		}
		k := i
		if i%18 == 0 {
			k = 0
		}
		attrs := unhex(origin + attr(0x40, 2, "0204"+"0000fc9a"+fmt.Sprintf("%08x%08x%08x", 1000+k%7, 2000+k%5000, 3000+k/6)))
		if f == IPv4 {
			attrs = append(attrs, unhex(hop+attr(0xc0, 8, "fc9a0001fc9a0002"))...)
			b = append(b, updateMessage(nil, attrs, nlri)...)
		} else {
			reach := attr(0x80, 14, "000201"+"10"+hop6+"00"+fmt.Sprintf("%x", nlri))
			b = append(b, updateMessage(nil, append(attrs, unhex(attr(0xc0, 8, "fc9a0001fc9a0002")+reach)...), nil)...)
		}
	}
	return b
}

// BenchmarkFill judges the first announcement of 300,000 prefixes, six an
// UPDATE, in reads of 64 KiB.
func BenchmarkFill(b *testing.B) {
	const n = 300000
	for f, name := range []string{"IPv4", "IPv6"} {
		b.Run(name, func(b *testing.B) {
			stream := fullTable(f, n)
			out := make([]byte, 0, 1<<20)
			var before, after runtime.MemStats
			b.ReportAllocs()
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				s := setup{plain: true}.establish(b)
				feed(b, s, stream, out)
				if c := s.Counts().Families[f]; c.Accepted != n {
					b.Fatalf("%+v", c)
				}
				runtime.ReadMemStats(&after)
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B-held/prefix")
				runtime.KeepAlive(s)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/prefix")
		})
	}
}

// BenchmarkAgain judges the same announcements when they are known.
func BenchmarkAgain(b *testing.B) {
	const n = 300000
	stream := fullTable(IPv4, n)
	out := make([]byte, 0, 1<<20)
	s := setup{plain: true}.establish(b)
	feed(b, s, stream, out)
	b.ReportAllocs()
	for b.Loop() {
		feed(b, s, stream, out)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/prefix")
}

func feed(b *testing.B, s *Session, stream, out []byte) {
	for in := stream; len(in) > 0; {
		k := min(64<<10, len(in))
		var err error
		if out, err = s.FromPeer(out[:0], in[:k]); err != nil {
			b.Fatal(err)
		}
		in = in[k:]
	}
}

// BenchmarkSetPolicy looks at one of 300,000 prefixes again.
func BenchmarkSetPolicy(b *testing.B) {
	s := setup{plain: true}.establish(b)
	feed(b, s, fullTable(IPv4, 300000), nil)
	one := netip.MustParsePrefix("16.0.1.0/24")
	for b.Loop() {
		if _, err := s.SetPolicy(nil, Policy{Accept: acceptAll}, func(p netip.Prefix) bool { return p == one }); err != nil {
			b.Fatal(err)
		}
	}
}
