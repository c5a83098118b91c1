package tun

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// frame builds a frame around an IP packet.
func frame(flags, gsoType byte, gsoSize, csumStart, csumOffset int, p []byte) []byte {
	f := make([]byte, HeaderLen, HeaderLen+len(p))
	f[offFlags], f[offGSOType] = flags, gsoType
	put(f, offHdrLen, 0xffff) // what the peer says here is never believed
	put(f, offGSOSize, uint16(gsoSize))
	put(f, offCsumStart, uint16(csumStart))
	put(f, offCsumOffst, uint16(csumOffset))
	return append(f, p...)
}

func ipv4(proto byte, l4 ...byte) []byte {
	p := make([]byte, 20, 20+len(l4))
	p[0], p[8], p[9] = 0x45, 64, proto
	p = append(p, l4...)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	return p
}

func ipv6(next byte, l4 ...byte) []byte {
	p := make([]byte, 40, 40+len(l4))
	p[0], p[6], p[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(p[4:], uint16(len(l4)))
	return append(p, l4...)
}

// tcp is a header with options, and payload.
func tcp(options, payload int) []byte {
	b := make([]byte, 20+options+payload)
	b[12] = byte((20 + options) / 4 << 4)
	return b
}

func udp(payload int) []byte { return make([]byte, 8+payload) }

const (
	sum   = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
	valid = unix.VIRTIO_NET_HDR_F_DATA_VALID
	none  = unix.VIRTIO_NET_HDR_GSO_NONE
	tcp4  = unix.VIRTIO_NET_HDR_GSO_TCPV4
	tcp6  = unix.VIRTIO_NET_HDR_GSO_TCPV6
	ecn   = unix.VIRTIO_NET_HDR_GSO_ECN
	usoL4 = unix.VIRTIO_NET_HDR_GSO_UDP_L4
	ufo   = unix.VIRTIO_NET_HDR_GSO_UDP
)

func TestCheckAccepts(t *testing.T) {
	withOptions := ipv4(unix.IPPROTO_TCP, append(make([]byte, 4), tcp(12, 3000)...)...)
	withOptions[0] = 0x46
	hopByHop := ipv6(unix.IPPROTO_HOPOPTS, append([]byte{unix.IPPROTO_TCP, 0, 0, 0, 0, 0, 0, 0}, tcp(0, 3000)...)...)
	for name, tc := range map[string]struct {
		frame  []byte
		hdrLen int // afterwards
	}{
		"plain v4":         {frame(0, none, 0, 0, 0, ipv4(1, 1, 2, 3)), 0},
		"plain v6":         {frame(0, none, 0, 0, 0, ipv6(58, 1, 2, 3)), 0},
		"header only":      {frame(0, none, 0, 0, 0, ipv6(59)), 0},
		"checksum":         {frame(sum, none, 0, 20, 16, ipv4(6, tcp(0, 10)...)), 38},
		"tso v4":           {frame(sum, tcp4, 1448, 20, 16, ipv4(6, tcp(12, 60000)...)), 52},
		"tso v6":           {frame(sum, tcp6, 1428, 40, 16, ipv6(6, tcp(12, 60000)...)), 72},
		"tso v4 ecn":       {frame(sum, tcp4|ecn, 1448, 20, 16, ipv4(6, tcp(12, 60000)...)), 52},
		"tso smallest":     {frame(sum, tcp4, 48, 20, 16, ipv4(6, tcp(0, 65483)...)), 40},
		"tso timestamps":   {frame(sum, tcp4, 36, 20, 16, ipv4(6, tcp(12, 65483)...)), 52},
		"tso at the MTU":   {frame(sum, tcp4, 1460, 20, 16, ipv4(6, tcp(0, 60000)...)), 40},
		"uso smallest":     {frame(sum, usoL4, 48, 20, 6, ipv4(17, udp(6144)...)), 28},
		"tso IPv4 options": {frame(sum, tcp4, 1444, 24, 16, withOptions), 56},
		"tso hop-by-hop":   {frame(sum, tcp6, 1428, 48, 16, hopByHop), 68},
		"uso v4":           {frame(sum, usoL4, 1472, 20, 6, ipv4(17, udp(60000)...)), 28},
		"uso v6":           {frame(sum, usoL4, 500, 40, 6, ipv6(17, udp(64000)...)), 48},
	} {
		want := bytes.Clone(tc.frame)
		if err := Check(tc.frame, 1500); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		put(want, offHdrLen, uint16(tc.hdrLen))
		if !bytes.Equal(tc.frame, want) {
			t.Errorf("%s: header %x, want %x", name, tc.frame[:HeaderLen], want[:HeaderLen])
		}
	}
}

func TestCheckClearsWhatItDidNotCheck(t *testing.T) {
	f := frame(valid, none, 99, 7, 7, ipv4(1, 1, 2))
	if err := Check(f, 1500); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(f[:HeaderLen], make([]byte, HeaderLen)) {
		t.Fatalf("header %x, want zeros", f[:HeaderLen])
	}
}

func TestCheckRefuses(t *testing.T) {
	long := ipv4(6, tcp(0, 3000)...)
	binary.BigEndian.PutUint16(long[2:], 100)
	fragment := ipv4(6, tcp(0, 3000)...)
	fragment[6] = 0x20
	shortIHL := ipv4(6, tcp(0, 3000)...)
	shortIHL[0] = 0x44
	longIHL := ipv4(6)
	longIHL[0] = 0x4f
	v6fragment := ipv6(unix.IPPROTO_FRAGMENT, append([]byte{6, 0, 0, 0, 0, 0, 0, 0}, tcp(0, 3000)...)...)
	manyHeaders := ipv6(unix.IPPROTO_DSTOPTS, append(append([]byte{unix.IPPROTO_TCP, 179}, make([]byte, 1438)...), tcp(0, 3000)...)...)
	smallTCP := tcp(0, 3000)
	smallTCP[12] = 0x40
	for name, tc := range map[string]struct {
		frame []byte
		want  error
	}{
		"nothing":             {nil, errShort},
		"header alone":        {make([]byte, HeaderLen), errShort},
		"not IP":              {frame(0, none, 0, 0, 0, []byte{0x50, 0, 0}), errVersion},
		"cut v4":              {frame(0, none, 0, 0, 0, ipv4(6)[:19]), errShort},
		"cut v6":              {frame(0, none, 0, 0, 0, ipv6(6)[:39]), errShort},
		"length":              {frame(0, none, 0, 0, 0, long), errLength},
		"IHL below 5":         {frame(0, none, 0, 0, 0, shortIHL), errShort},
		"IHL past the end":    {frame(0, none, 0, 0, 0, longIHL), errShort},
		"flags":               {frame(4, none, 0, 0, 0, ipv4(6)), errFlags},
		"sum in IP header":    {frame(sum, none, 0, 10, 0, ipv4(6, tcp(0, 9)...)), errChecksum},
		"sum past the end":    {frame(sum, none, 0, 20, 28, ipv4(6, tcp(0, 9)...)), errChecksum},
		"sum far away":        {frame(sum, none, 0, 0xffff, 0xffff, ipv4(6, tcp(0, 9)...)), errChecksum},
		"gso without sum":     {frame(0, tcp4, 1448, 20, 16, ipv4(6, tcp(0, 3000)...)), errChecksum},
		"gso v6 on v4":        {frame(sum, tcp6, 1448, 20, 16, ipv4(6, tcp(0, 3000)...)), errGSOType},
		"gso v4 on v6":        {frame(sum, tcp4, 1448, 40, 16, ipv6(6, tcp(0, 3000)...)), errGSOType},
		"gso tcp on udp":      {frame(sum, tcp4, 1448, 20, 6, ipv4(17, udp(3000)...)), errGSOType},
		"uso on tcp":          {frame(sum, usoL4, 1448, 20, 16, ipv4(6, tcp(0, 3000)...)), errGSOType},
		"uso ecn":             {frame(sum, usoL4|ecn, 1448, 20, 6, ipv4(17, udp(3000)...)), errGSOType},
		"ufo":                 {frame(sum, ufo, 1448, 20, 6, ipv4(17, udp(3000)...)), errGSOType},
		"gso unknown":         {frame(sum, 0x40, 1448, 20, 16, ipv4(6, tcp(0, 3000)...)), errGSOType},
		"gso size 0":          {frame(sum, tcp4, 0, 20, 16, ipv4(6, tcp(0, 3000)...)), errGSOSize},
		"gso size 1":          {frame(sum, tcp4, 1, 20, 16, ipv4(6, tcp(0, 3000)...)), errGSOSize},
		"gso size 47":         {frame(sum, tcp4, 47, 20, 16, ipv4(6, tcp(0, 984)...)), errGSOSize},
		"gso v6 size 1":       {frame(sum, tcp6, 1, 40, 16, ipv6(6, tcp(0, 984)...)), errGSOSize},
		"gso 35, timestamps":  {frame(sum, tcp4, 35, 20, 16, ipv4(6, tcp(12, 3000)...)), errGSOSize},
		"gso 8, 40 options":   {frame(sum, tcp4, 8, 20, 16, ipv4(6, tcp(40, 3000)...)), errGSOSize},
		"uso size 1":          {frame(sum, usoL4, 1, 20, 6, ipv4(17, udp(100)...)), errGSOSize},
		"uso v6 size 47":      {frame(sum, usoL4, 47, 40, 6, ipv6(17, udp(984)...)), errGSOSize},
		"uso past the MTU":    {frame(sum, usoL4, 1473, 20, 6, ipv4(17, udp(3000)...)), errGSOSize},
		"gso no room in MTU":  {frame(sum, tcp6, 1448, 1480, 16, manyHeaders), errGSOSize},
		"sum at an odd place": {frame(sum, none, 0, 20, 17, ipv4(6, tcp(0, 9)...)), errChecksum},
		"sum from an odd one": {frame(sum, none, 0, 21, 16, ipv4(6, tcp(0, 9)...)), errChecksum},
		"ecn without gso":     {frame(sum, ecn, 1448, 20, 16, ipv4(6, tcp(0, 3000)...)), errGSOType},
		"gso size by frags":   {frame(sum, tcp4, 0xffff, 20, 16, ipv4(6, tcp(0, 3000)...)), errGSOSize},
		"uso 129 segments":    {frame(sum, usoL4, 100, 20, 6, ipv4(17, udp(12801)...)), errGSOSize},
		"gso fragment":        {frame(sum, tcp4, 1448, 20, 16, fragment), errFragment},
		"gso v6 fragment":     {frame(sum, tcp6, 1448, 48, 16, v6fragment), errFragment},
		"gso wrong start":     {frame(sum, tcp4, 1448, 24, 16, ipv4(6, tcp(0, 3000)...)), errChecksum},
		"gso v6 wrong start":  {frame(sum, tcp6, 1448, 48, 16, ipv6(6, tcp(0, 3000)...)), errExtension},
		"gso wrong offset":    {frame(sum, tcp4, 1448, 20, 6, ipv4(6, tcp(0, 3000)...)), errChecksum},
		"gso cut TCP":         {frame(sum, tcp4, 1448, 20, 16, ipv4(6, tcp(0, 0)[:19]...)), errShort},
		"gso options cut":     {frame(sum, tcp4, 1448, 20, 16, ipv4(6, tcp(12, 0)[:24]...)), errShort},
		"gso TCP header < 20": {frame(sum, tcp4, 1448, 20, 16, ipv4(6, smallTCP...)), errShort},
		"uso cut UDP":         {frame(sum, usoL4, 1448, 20, 6, ipv4(17, udp(0)[:7]...)), errShort},
	} {
		if err := Check(tc.frame, 1500); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// TCP segments that are longer than the interface's packets may be are made shorter.
func TestCheckShortensTCPSegments(t *testing.T) {
	f := frame(sum, tcp4, 8948, 20, 16, ipv4(6, tcp(12, 60000)...))
	if err := Check(f, 1500); err != nil || get(f, offGSOSize) != 1448 {
		t.Fatalf("segments of %d bytes, %v; want 1448", get(f, offGSOSize), err)
	}
}

// What applications and neighbors of this machine send is taken as it is, and is
// known if the far end would not take it.
func TestFineFramesAreKnown(t *testing.T) {
	for name, tc := range map[string]struct {
		frame []byte
		want  bool
	}{
		"plain":          {frame(0, none, 1, 0, 0, ipv4(17, udp(100)...)), false},
		"tso":            {frame(sum, tcp4, 48, 20, 16, ipv4(6, tcp(0, 3000)...)), false},
		"tso timestamps": {frame(sum, tcp4, 36, 20, 16, ipv4(6, tcp(12, 3000)...)), false},
		"tso fine":       {frame(sum, tcp4, 5, 20, 16, ipv4(6, tcp(0, 3000)...)), true},
		"uso jumbo":      {frame(sum, usoL4, 8972, 20, 6, ipv4(17, udp(60000)...)), false},
		"uso fine":       {frame(sum, usoL4, 1, 20, 6, ipv4(17, udp(128)...)), true},
	} {
		if err := CheckLocal(tc.frame); err != nil || IsFine(tc.frame) != tc.want {
			t.Errorf("%s: %v, fine %v, want %v", name, err, !tc.want, tc.want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(frame(sum, tcp4, 1448, 20, 16, ipv4(6, tcp(12, 3000)...)))
	f.Add(frame(sum, tcp6, 1428, 40, 16, ipv6(6, tcp(12, 3000)...)))
	f.Add(frame(sum, usoL4, 100, 20, 6, ipv4(17, udp(1000)...)))
	f.Add(frame(0, none, 0, 0, 0, ipv4(1, 1, 2, 3)))
	f.Add(frame(sum, tcp6, 1428, 48, 16, ipv6(0, append([]byte{6, 0, 0, 0, 0, 0, 0, 0}, tcp(0, 3000)...)...)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if Check(b, 1500) != nil {
			return
		}
		n := len(b) - HeaderLen
		start, offset := int(get(b, offCsumStart)), int(get(b, offCsumOffst))
		hdr, size := int(get(b, offHdrLen)), int(get(b, offGSOSize))
		if b[offFlags]&sum != 0 && start+offset+2 > n || hdr > n {
			t.Fatalf("header %x for %d bytes", b[:HeaderLen], n)
		}
		if b[offGSOType] != none && (size < minSegment-timestampOption || hdr+size > 1500 || b[offGSOType] == usoL4 && n-hdr > size*maxUDPSegments) {
			t.Fatalf("header %x makes too many segments of %d bytes, or too long ones", b[:HeaderLen], n)
		}
		again := bytes.Clone(b)
		if err := Check(again, 1500); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("a checked frame does not pass again: %v", err)
		}
	})
}

func TestOffloadIntersect(t *testing.T) {
	for _, tc := range []struct{ a, b, want Offload }{
		{allOffload, allOffload, allOffload},
		{allOffload, tsoOffload, tsoOffload},
		{allOffload, 0, 0},
		{allOffload, TSO4 | TSO6, 0},
		{allOffload, Checksum | USO4, Checksum},
		{allOffload, Checksum | TSOECN, Checksum},
		{0xff, 0xff, allOffload},
	} {
		if got := tc.a.Intersect(tc.b); got != tc.want || tc.b.Intersect(tc.a) != got {
			t.Errorf("%v and %v: %v, want %v", tc.a, tc.b, got, tc.want)
		}
	}
}
