//go:build privileged

package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"warren/internal/netns"
)

// innerEnv marks the copy of the test that runs in a network namespace of its
// own. GoBGP dials from goroutines of its own, so the whole process has to be
// in there.
const innerEnv = "WARREN_BGP_TEST_INNER"

// inNamespace runs the calling test again in a new network namespace and
// reports whether the caller is that second run.
func inNamespace(t *testing.T) bool {
	t.Helper()
	netns.RequireRoot(t)
	if os.Getenv(innerEnv) != "" {
		return true
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "-n", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), innerEnv+"=1")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	return false
}

func run(t *testing.T, command string) string {
	t.Helper()
	args := strings.Fields(command)
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// A farEnd is a namespace at the other end of a veth.
type farEnd struct {
	*netns.NS
	t *testing.T
}

// newFarEnd joins interface dev to a namespace, where it is dev0.
func newFarEnd(t *testing.T, dev string) farEnd {
	t.Helper()
	name := fmt.Sprintf("bgp-%s-%d", dev, os.Getpid())
	ns, err := netns.New(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close(); netns.Delete(name) })
	run(t, "ip link add "+dev+" type veth peer name "+dev+"0")
	run(t, "ip link set "+dev+"0 netns "+name)
	run(t, "ip link set "+dev+" up")
	f := farEnd{ns, t}
	f.run("ip link set " + dev + "0 up")
	return f
}

func (f farEnd) run(command string) {
	f.t.Helper()
	if err := f.Do(func() error { run(f.t, command); return nil }); err != nil {
		f.t.Fatal(err)
	}
}

// dial connects from inside the namespace.
func (f farEnd) dial(from, to string) (conn net.Conn, err error) {
	err = f.Do(func() error {
		d := net.Dialer{Timeout: 10 * time.Second}
		if from != "" {
			if d.LocalAddr, err = net.ResolveTCPAddr("tcp", net.JoinHostPort(from, "0")); err != nil {
				return err
			}
		}
		conn, err = d.Dial("tcp", net.JoinHostPort(to, "179"))
		return err
	})
	return conn, err
}

// tunnelSpeaker sets up a "tunnel" tun with a far end, and a speaker.
func tunnelSpeaker(t *testing.T) (*Speaker, farEnd) {
	run(t, "ip link set lo up")
	far := newFarEnd(t, "tun")
	for _, a := range []string{"fd00:179::%d/64", "fe80::%d/64", "10.179.0.%d/24"} {
		run(t, "ip addr add "+fmt.Sprintf(a, 1)+" dev tun") // IPv6: in duplicate address detection
		far.run("ip addr add " + fmt.Sprintf(a, 2) + " dev tun0")
	}
	s, err := New(Config{ASN: 64512, RouterID: netip.MustParseAddr("10.0.0.1"), Logger: testLogger(t, "s")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return s, far
}

func (f farEnd) establish(s *Speaker, name, from, to string) *rawPeer {
	f.t.Helper()
	p := f.connect(s, name, from, to)
	p.establish(64513, "10.0.0.2")
	waitState(f.t, s, name, "established")
	return p
}

// connect dials the speaker when the neighbor is ready for it.
func (f farEnd) connect(s *Speaker, name, from, to string) *rawPeer {
	f.t.Helper()
	var conn net.Conn
	eventually(f.t, 40*time.Second, func() (wrong string) {
		if wrong := wantState(s, name, "active"); wrong != "" {
			return wrong
		}
		var err error
		if conn, err = f.dial(from, to); err != nil { // the address may still be tentative
			return err.Error()
		}
		return ""
	})
	return &rawPeer{t: f.t, conn: conn, addr: netip.MustParseAddr(from).WithZone("")}
}

func add(t *testing.T, s *Speaker, name, local, peer string, addresses ...string) {
	t.Helper()
	err := s.AddNeighbor(t.Context(), Neighbor{
		Name: name, Interface: "tun", ASN: 64513,
		LocalAddr: netip.MustParseAddr(local), PeerAddr: netip.MustParseAddr(peer), Addresses: prefixes(addresses...),
		Import: Policy{Any: true}, Export: Policy{Own: true},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestOnlyThroughTheTunnel looks for a way to port 179 from anywhere else.
func TestOnlyThroughTheTunnel(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s, far := tunnelSpeaker(t)
	lan := newFarEnd(t, "lan")
	run(t, "ip addr add 192.0.2.1/24 dev lan")
	lan.run("ip addr add 192.0.2.2/24 dev lan0")
	lan.run("ip route add 10.179.0.0/24 via 192.0.2.1")
	add(t, s, "six", "fd00:179::1", "fd00:179::2")
	add(t, s, "four", "10.179.0.1", "10.179.0.2")

	sockets := strings.Fields(run(t, "ss -Hlntu"))
	if len(sockets) != 2*6 || strings.Contains(strings.Join(sockets, " "), "udp") {
		t.Errorf("listening sockets: %q", sockets)
	}
	for _, s := range sockets {
		if strings.Contains(s, ":179") && !strings.Contains(s, "%tun:179") {
			t.Errorf("%s is not bound to the tunnel", s)
		}
	}
	closed := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, not a refused connection", what, err)
		}
	}
	for _, addr := range []string{"127.0.0.1", "::1", "192.0.2.1"} {
		_, err := net.DialTimeout("tcp", net.JoinHostPort(addr, "179"), 10*time.Second)
		closed("from here to "+addr, err)
	}
	for _, addr := range []string{"192.0.2.1", "10.179.0.1"} {
		_, err := lan.dial("", addr)
		closed("from the LAN to "+addr, err)
	}
	// A stranger behind the tunnel gets no word out of it either, and nor does
	// this machine itself, which Linux lets in as if it came by the tunnel.
	far.run("ip addr add 10.179.0.9/24 dev tun0")
	for from, dial := range map[string]func() (net.Conn, error){
		"a stranger":   func() (net.Conn, error) { return far.dial("10.179.0.9", "10.179.0.1") },
		"this machine": func() (net.Conn, error) { return net.DialTimeout("tcp", "10.179.0.1:179", 10*time.Second) },
	} {
		conn, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		if n, err := conn.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s read %d bytes, %v", from, n, err)
		}
		conn.Close()
	}
	far.establish(s, "six", "fd00:179::2", "fd00:179::1")
	far.establish(s, "four", "10.179.0.2", "10.179.0.1")
}

// TestBothFamiliesOverEither reads and sends next hops of both families in
// sessions over IPv6, link-local and IPv4 addresses (RFC 8950, RFC 4760).
func TestBothFamiliesOverEither(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s, far := tunnelSpeaker(t)
	if err := s.SetAnnounced(t.Context(), prefixes("10.1.0.0/16", "2001:db8:1::/48")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, local, peer, hop4, hop6 string }{
		{"ula", "fd00:179::1", "fd00:179::2", "fd00:179::1", "fd00:179::1"},
		{"linklocal", "fe80::1", "fe80::2", "fe80::1", "fe80::1"},
		{"v4", "10.179.0.1", "10.179.0.2", "10.179.0.1", "fd00:179::1"},
	} {
		add(t, s, tt.name, tt.local, tt.peer, "fd00:179::1/64")
		from, to := tt.peer, tt.local
		if tt.name == "linklocal" {
			from, to = from+"%tun0", to+"%tun0"
		}
		p := far.establish(s, tt.name, from, to)
		hops := p.nextHops(2)
		if h := hops["10.1.0.0/16"]; h != netip.MustParseAddr(tt.hop4) {
			t.Errorf("%s: IPv4 next hop is %s", tt.name, h)
		}
		if h := hops["2001:db8:1::/48"]; h != netip.MustParseAddr(tt.hop6) {
			t.Errorf("%s: IPv6 next hop is %s", tt.name, h)
		}
		p.announceMP(gobgp.RF_IPv4_UC, "10.2.0.0/16")
		p.announceMP(gobgp.RF_IPv6_UC, "2001:db8:2::/48")
		waitRoutes(t, s, tt.name, "10.2.0.0/16", "2001:db8:2::/48")
		if err := s.DeleteNeighbor(t.Context(), tt.name); err != nil {
			t.Fatal(err)
		}
		if m := lastMessage(p); m == nil || m.Header.Type != gobgp.BGP_MSG_NOTIFICATION || m.Body.(*gobgp.BGPNotification).ErrorCode != gobgp.BGP_ERROR_CEASE {
			t.Errorf("%s: the last message is %v, not a Cease", tt.name, m)
		}
	}
}

// announceMP announces a prefix of either family with p's address as next hop.
func (p *rawPeer) announceMP(f gobgp.Family, prefix string) {
	p.t.Helper()
	hop := p.addr
	if hop.Is4() && f == gobgp.RF_IPv6_UC {
		hop = netip.AddrFrom16(hop.As16())
	}
	reach, err := gobgp.NewPathAttributeMpReachNLRI(f, []gobgp.PathNLRI{p.nlri(netip.MustParsePrefix(prefix))}, hop)
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(gobgp.NewBGPUpdateMessage(nil, []gobgp.PathAttributeInterface{
		gobgp.NewPathAttributeOrigin(0),
		gobgp.NewPathAttributeAsPath([]gobgp.AsPathParamInterface{gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{64513})}),
		reach,
	}, nil))
}

func lastMessage(p *rawPeer) (last *gobgp.BGPMessage) {
	for m := p.read(); m != nil; m = p.read() {
		last = m
	}
	return last
}

// TestDeadTunnel takes the link away and wants the neighbor gone and back soon.
func TestDeadTunnel(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s, far := tunnelSpeaker(t)
	add(t, s, "b", "10.179.0.1", "10.179.0.2")
	p := far.establish(s, "b", "10.179.0.2", "10.179.0.1")
	p.update(64513, prefixes("10.2.0.0/16"), nil)
	waitRoutes(t, s, "b", "10.2.0.0/16")
	far.run("ip link set tun0 down")
	if err := s.SetAnnounced(t.Context(), manyPrefixes(0, 20000)); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteNeighbor(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if len(s.Routes()) != 0 {
		t.Error("DeleteNeighbor left routes")
	}
	far.run("ip link set tun0 up")
	add(t, s, "b", "10.179.0.1", "10.179.0.2")
	far.establish(s, "b", "10.179.0.2", "10.179.0.1")
}

// TestPortTaken has another daemon hold port 179: the session still comes up,
// dialled from here.
func TestPortTaken(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s, far := tunnelSpeaker(t)
	other, err := net.Listen("tcp", ":179")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var l net.Listener
	if err := far.Do(func() (err error) { l, err = net.Listen("tcp", "10.179.0.2:179"); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	add(t, s, "b", "10.179.0.1", "10.179.0.2")
	p := acceptOpen(t, l.(*net.TCPListener), netip.MustParseAddr("10.179.0.2"))
	p.send(openMessage(t, 64513, "10.0.0.2", extendedNextHop))
	p.send(gobgp.NewBGPKeepAliveMessage())
	waitState(t, s, "b", "established")
}
