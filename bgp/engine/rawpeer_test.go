package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// A rawPeer is a scripted peer that dials a speaker and sends what it is told.
type rawPeer struct {
	t    testing.TB
	conn net.Conn
	addr netip.Addr

	twoOctet bool // it has not offered 4-octet AS numbers

	vanished atomic.Bool
}

// dialRaw connects from the neighbor's address; the speaker is the accepting
// end, the neighbor's own listener does not exist.
func dialRaw(t testing.TB, from, to netip.Addr) *rawPeer {
	t.Helper()
	return dialRawWith(t, from, to, nil)
}

// dialNarrow is dialRaw by a peer whose kernel has little room for what is unread, and says so from the beginning: less than what
// it has once said would have it drop acknowledgments too, and the peer's KEEPALIVEs would wait for those.
func dialNarrow(t testing.TB, from, to netip.Addr) *rawPeer {
	t.Helper()
	return dialRawWith(t, from, to, func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 32<<10) })
		return errors.Join(err, failed)
	})
}

func dialRawWith(t testing.TB, from, to netip.Addr, control func(string, string, syscall.RawConn) error) *rawPeer {
	t.Helper()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: 30 * time.Second, Control: control}
	conn, err := d.Dial("tcp", net.JoinHostPort(to.String(), strconv.Itoa(testPort)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &rawPeer{t: t, conn: conn, addr: from}
}

func (p *rawPeer) write(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Logf("write: %v", err)
	}
}

func (p *rawPeer) send(m *gobgp.BGPMessage) {
	p.t.Helper()
	b, err := m.Serialize()
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(b)
}

// message frames a body of any type, with any length field.
func message(msgType uint8, length int, body []byte) []byte {
	b := make([]byte, 19, 19+len(body))
	for i := range 16 {
		b[i] = 0xff
	}
	binary.BigEndian.PutUint16(b[16:], uint16(length))
	b[18] = msgType
	return append(b, body...)
}

// openMessage is the OPEN of a peer with the usual capabilities and others.
func openMessage(t testing.TB, asn uint32, id string, others ...gobgp.ParameterCapabilityInterface) *gobgp.BGPMessage {
	t.Helper()
	as2 := uint16(gobgp.AS_TRANS)
	if asn < 1<<16 {
		as2 = uint16(asn)
	}
	m, err := gobgp.NewBGPOpenMessage(as2, 90, netip.MustParseAddr(id), []gobgp.OptionParameterInterface{
		gobgp.NewOptionParameterCapability(append([]gobgp.ParameterCapabilityInterface{
			gobgp.NewCapRouteRefresh(),
			gobgp.NewCapMultiProtocol(gobgp.RF_IPv4_UC), gobgp.NewCapMultiProtocol(gobgp.RF_IPv6_UC),
			gobgp.NewCapFourOctetASNumber(asn),
		}, others...))})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// read returns the next message, or nil when the connection ends.
func (p *rawPeer) read() *gobgp.BGPMessage {
	p.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	header := make([]byte, gobgp.BGP_HEADER_LENGTH)
	if _, err := io.ReadFull(p.conn, header); err != nil {
		return nil
	}
	body := make([]byte, int(binary.BigEndian.Uint16(header[16:]))-len(header))
	if _, err := io.ReadFull(p.conn, body); err != nil {
		return nil
	}
	m, err := gobgp.ParseBGPMessage(append(header, body...), &gobgp.MarshallingOption{Use2ByteAS: p.twoOctet})
	if err != nil {
		p.t.Errorf("the speaker sent a bad message: %v", err)
		return nil
	}
	return m
}

var extendedNextHop = gobgp.NewCapExtendedNexthop([]*gobgp.CapExtendedNexthopTuple{gobgp.NewCapExtendedNexthopTuple(gobgp.RF_IPv4_UC, gobgp.AFI_IP6)})

// establish does the handshake as a peer that takes IPv6 next hops for IPv4.
func (p *rawPeer) establish(asn uint32, id string) {
	p.t.Helper()
	p.establishAs(openMessage(p.t, asn, id, extendedNextHop))
}

func (p *rawPeer) establishAs(open *gobgp.BGPMessage) {
	p.t.Helper()
	if wrong := p.handshake(open); wrong != "" {
		p.t.Fatal(wrong)
	}
}

// handshake returns what went wrong.
func (p *rawPeer) handshake(open *gobgp.BGPMessage) string {
	p.t.Helper()
	p.send(open)
	p.send(gobgp.NewBGPKeepAliveMessage())
	for _, want := range []uint8{gobgp.BGP_MSG_OPEN, gobgp.BGP_MSG_KEEPALIVE} {
		m := p.read()
		if m == nil {
			return fmt.Sprintf("handshake: the connection ended before type %d", want)
		}
		if m.Header.Type != want {
			return fmt.Sprintf("handshake: got %v, not type %d", m, want)
		}
	}
	return ""
}

// serve discards what the speaker sends, so that it never blocks, and keeps the
// session alive.
func (p *rawPeer) serve() {
	p.conn.SetReadDeadline(time.Time{})
	go io.Copy(io.Discard, p.conn)
	p.keepAlive()
}

func (p *rawPeer) keepAlive() {
	go func() {
		for range time.Tick(time.Second) {
			b, _ := gobgp.NewBGPKeepAliveMessage().Serialize()
			if p.vanished.Load() {
				return
			}
			if _, err := p.conn.Write(b); err != nil {
				return
			}
		}
	}()
}

// vanish has the peer answer nothing any more on its connection, not even acknowledge.
func (p *rawPeer) vanish() {
	p.t.Helper()
	p.vanished.Store(true)
	eventually(p.t, 30*time.Second, func() string { // what is not acknowledged would be sent again
		if info, err := tcpInfo(p.conn.(*net.TCPConn)); err != nil || info.Unacked > 0 {
			return fmt.Sprintf("%v, %v", info, err)
		}
		return ""
	})
	raw, err := p.conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
		// What is to be acknowledged of before is so now, and not in some milliseconds.
		set = errors.Join(set, unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1))
	})
	if err := errors.Join(err, set); err != nil {
		p.t.Fatal(err)
	}
}

// reappear takes that back.
func (p *rawPeer) reappear() {
	p.t.Helper()
	raw, err := p.conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	var set error
	err = raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) })
	if err := errors.Join(err, set); err != nil {
		p.t.Fatal(err)
	}
}

// takeOver opens a session in place of another one, whose connection has vanished. It is refused as long as a last
// acknowledgment of that is on its way.
func takeOver(t *testing.T, peer, local netip.Addr, open *gobgp.BGPMessage) (p *rawPeer) {
	t.Helper()
	eventually(t, time.Minute, func() string {
		p = dialRaw(t, peer, local)
		wrong := p.handshake(open)
		if wrong != "" {
			p.conn.Close()
		}
		return wrong
	})
	return p
}

// update announces IPv4 prefixes by the classic encoding and withdraws others.
func (p *rawPeer) update(asn uint32, announce, withdraw []netip.Prefix) {
	p.t.Helper()
	p.updatePath([]uint32{asn}, announce, withdraw)
}

func (p *rawPeer) updatePath(asPath []uint32, announce, withdraw []netip.Prefix) {
	p.t.Helper()
	for len(announce)+len(withdraw) > 0 {
		var a, w []gobgp.PathNLRI
		n, k := min(len(announce), 500), min(len(withdraw), 500)
		for _, x := range announce[:n] {
			a = append(a, p.nlri(x))
		}
		for _, x := range withdraw[:k] {
			w = append(w, p.nlri(x))
		}
		announce, withdraw = announce[n:], withdraw[k:]
		var attrs []gobgp.PathAttributeInterface
		if len(a) > 0 {
			nextHop, _ := gobgp.NewPathAttributeNextHop(p.addr)
			attrs = []gobgp.PathAttributeInterface{
				gobgp.NewPathAttributeOrigin(0),
				gobgp.NewPathAttributeAsPath([]gobgp.AsPathParamInterface{p.segment(asPath)}),
				nextHop,
			}
		}
		p.send(gobgp.NewBGPUpdateMessage(w, attrs, a))
	}
}

// segment is an AS_SEQUENCE with AS numbers of the width that p uses.
func (p *rawPeer) segment(asPath []uint32) gobgp.AsPathParamInterface {
	if !p.twoOctet {
		return gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SEQ, asPath)
	}
	var narrow []uint16
	for _, as := range asPath {
		narrow = append(narrow, uint16(as))
	}
	return gobgp.NewAsPathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SEQ, narrow)
}

func (p *rawPeer) nlri(x netip.Prefix) gobgp.PathNLRI {
	nlri, err := gobgp.NewIPAddrPrefix(x)
	if err != nil {
		p.t.Fatal(err)
	}
	return gobgp.PathNLRI{NLRI: nlri}
}

// manyPrefixes returns n different /24s and, past 65536, /32s.
func manyPrefixes(from, n int) []netip.Prefix {
	ps := make([]netip.Prefix, n)
	for i := range ps {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(20<<24+(from+i)<<4))
		ps[i] = netip.PrefixFrom(netip.AddrFrom4(a), 28)
	}
	return ps
}

// addRaw makes a raw peer's neighbor, with nobody listening at its address.
func addRaw(t testing.TB, s *Speaker, name string, asn uint32, edit func(*Neighbor)) (local, peer netip.Addr) {
	t.Helper()
	local, peer = testAddrs()
	n := Neighbor{Name: name, LocalAddr: local, PeerAddr: peer, ASN: asn, Import: Policy{Any: true}, Export: Policy{Own: true}}
	if edit != nil {
		edit(&n)
	}
	if err := s.AddNeighbor(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return local, peer
}

// dialWhenActive connects once the speaker takes a connection.
func dialWhenActive(t testing.TB, s *Speaker, name string, peer, local netip.Addr) *rawPeer {
	t.Helper()
	waitState(t, s, name, "active")
	return dialRaw(t, peer, local)
}

// wantNotification reads until the peer gets this NOTIFICATION.
func wantNotification(t testing.TB, p *rawPeer, code, subcode uint8) {
	t.Helper()
	for {
		m := p.read()
		if m == nil {
			t.Fatalf("the connection ended without NOTIFICATION %d/%d", code, subcode)
		}
		if n, ok := m.Body.(*gobgp.BGPNotification); ok {
			if n.ErrorCode != code || n.ErrorSubcode != subcode {
				t.Fatalf("NOTIFICATION %d/%d, not %d/%d", n.ErrorCode, n.ErrorSubcode, code, subcode)
			}
			return
		}
	}
}

// rawSession is a raw peer in an established session.
func rawSession(t testing.TB, s *Speaker, name string, asn uint32, id string, edit func(*Neighbor)) *rawPeer {
	t.Helper()
	local, peer := addRaw(t, s, name, asn, edit)
	waitState(t, s, name, "active")
	p := dialRaw(t, peer, local)
	p.establish(asn, id)
	waitState(t, s, name, "established")
	p.serve()
	return p
}
