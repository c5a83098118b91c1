//go:build privileged

package protocol

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"warren/internal/netns"
	"warren/internal/skip"
)

// The binary is tools/'s wireguard-go, which has a module of its own.
const (
	wireguardGo = "../../../bin/wireguard-go"
	patience    = 40 * time.Second
)

// devices counts them: their control sockets share one directory.
var devices atomic.Int32

// need ends the test where something is missing.
func need(t *testing.T, err error, hint string) {
	t.Helper()
	if err != nil {
		skip.OutsideCI(t, "%v: %s", err, hint)
	}
}

// device is a wireguard-go in a namespace: 10.77.0.2 is behind it, and 10.77.0.1 in
// its tunnel.
type device struct {
	t    *testing.T
	ns   *netns.NS
	name string
	key  PrivateKey
	psk  PresharedKey
	addr netip.AddrPort
}

func startDevice(t *testing.T, psk PresharedKey) *device {
	t.Helper()
	netns.RequireRoot(t)
	_, err := os.Stat(wireguardGo)
	need(t, err, "run `make bin/wireguard-go`")
	_, err = exec.LookPath("wg")
	need(t, err, "run `make deps`")
	ns, err := netns.NewAnonymous()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	d := &device{t: t, ns: ns, name: fmt.Sprintf("wgt%d.%d", os.Getpid(), devices.Add(1)), key: NewPrivateKey(), psk: psk}
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, wireguardGo, "-f", d.name)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // so that it removes its socket
	cmd.WaitDelay = patience
	cmd.Env = append(os.Environ(), "LOG_LEVEL=verbose", "WG_PROCESS_FOREGROUND=1")
	if err := ns.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		if t.Failed() {
			t.Logf("wireguard-go: %s", log.String())
		}
	})
	wait(t, "wireguard-go's socket", func() bool {
		out, err := d.try("ss", "-xlH") // wg would delete one on which nobody listens yet
		return err == nil && strings.Contains(out, "/"+d.name+".sock ")
	})
	d.addr = netip.MustParseAddrPort("127.0.0.1:51821")
	d.run("wg", "set", d.name, "listen-port", "51821", "private-key", d.file(PublicKey(d.key)))
	d.run("ip", "addr", "add", "10.77.0.2/24", "dev", d.name)
	d.run("ip", "link", "set", d.name, "up")
	return d
}

// file writes a key to a file.
func (d *device) file(k PublicKey) string {
	d.t.Helper()
	f := filepath.Join(d.t.TempDir(), "key")
	if err := os.WriteFile(f, []byte(k.String()+"\n"), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return f
}

func (d *device) run(args ...string) string {
	d.t.Helper()
	out, err := d.try(args...)
	if err != nil {
		d.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return out
}

func (d *device) try(args ...string) (out string, err error) {
	err = d.ns.Do(func() error {
		b, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		out = string(b)
		return err
	})
	return out, err
}

// setPeer makes us its only peer; without an endpoint it cannot begin.
func (d *device) setPeer(k PublicKey, endpoint string) {
	d.t.Helper()
	for _, old := range strings.Fields(d.run("wg", "show", d.name, "peers")) {
		d.run("wg", "set", d.name, "peer", old, "remove")
	}
	args := []string{"wg", "set", d.name, "peer", k.String(), "allowed-ips", "10.77.0.1/32"}
	if d.psk != (PresharedKey{}) {
		args = append(args, "preshared-key", d.file(PublicKey(d.psk)))
	}
	if endpoint != "" {
		args = append(args, "endpoint", endpoint)
	}
	d.run(args...)
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}

// router is our end: a machine, a socket, and 10.77.0.1, which answers pings.
type router struct {
	t    *testing.T
	m    *Machine
	p    *Peer
	conn *net.UDPConn
	wake chan struct{}

	mu      sync.Mutex
	ahead   time.Duration                       // of the true clock
	mangle  func(out bool, msg []byte) [][]byte // what becomes of a datagram on its way out or in
	before  func(msg []byte)                    // is called for each that arrives
	heard   [][]byte
	replies map[uint16]int // of pings, by sequence number
	errs    []error
}

func newRouter(d *device, c Config, psk PresharedKey) *router {
	t := d.t
	t.Helper()
	if c.PrivateKey == (PrivateKey{}) {
		c.PrivateKey = NewPrivateKey()
	}
	r := &router{t: t, m: New(c), wake: make(chan struct{}, 1), replies: make(map[uint16]int)}
	var err error
	r.p, err = r.m.AddPeer(PeerConfig{PublicKey: d.key.Public(), PresharedKey: psk, Endpoint: d.addr, Notify: func() {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	r.conn = r.listen(d)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { r.receive(r.conn) })
	wg.Go(func() { r.tick(done) })
	t.Cleanup(func() {
		close(done)
		r.mu.Lock()
		r.conn.Close()
		r.mu.Unlock()
		wg.Wait()
	})
	return r
}

func (r *router) listen(d *device) *net.UDPConn {
	r.t.Helper()
	var conn *net.UDPConn
	if err := d.ns.Do(func() (err error) {
		conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		return err
	}); err != nil {
		r.t.Fatal(err)
	}
	return conn
}

func (r *router) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Add(r.ahead)
}

// skip lets our clock jump.
func (r *router) skip(d time.Duration) {
	r.mu.Lock()
	r.ahead += d
	r.mu.Unlock()
	r.wake <- struct{}{}
}

func (r *router) mangled(out bool, msg []byte) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mangle == nil {
		return [][]byte{msg}
	}
	return r.mangle(out, msg)
}

func (r *router) send(msg []byte, to netip.AddrPort) {
	r.mu.Lock()
	conn := r.conn
	r.mu.Unlock()
	for _, m := range r.mangled(true, msg) {
		conn.WriteToUDPAddrPort(m, to)
	}
}

func (r *router) receive(conn *net.UDPConn) {
	buf := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		for _, msg := range r.mangled(false, bytes.Clone(buf[:n])) {
			r.take(msg, from)
		}
	}
}

func (r *router) take(msg []byte, from netip.AddrPort) {
	r.mu.Lock()
	r.heard = append(r.heard, bytes.Clone(msg))
	before := r.before
	r.mu.Unlock()
	if before != nil {
		before(msg)
	}
	got := r.m.Receive(r.now(), from, bytes.Clone(msg))
	r.mu.Lock()
	if got.Err != nil {
		r.errs = append(r.errs, fmt.Errorf("message of type %d, %d bytes: %w", messageType(msg), len(msg), got.Err))
	}
	r.mu.Unlock()
	if got.Reply != nil {
		r.send(got.Reply, from)
	}
	if p := got.Packet; len(p) >= 28 && p[9] == 1 {
		switch p[20] {
		case 8: // echo request
			r.sendPacket(echo(0, uint16(p[26])<<8|uint16(p[27]), p[24:26], p[28:]))
		case 0:
			r.mu.Lock()
			r.replies[uint16(p[26])<<8|uint16(p[27])]++
			r.mu.Unlock()
		}
	}
}

func (r *router) tick(done chan struct{}) {
	for {
		for _, msg := range r.p.Tick(r.now()) {
			r.send(msg, r.p.Status(r.now()).Endpoint)
		}
		after := time.Hour
		if next := r.p.NextDeadline(); !next.IsZero() {
			after = next.Sub(r.now())
		}
		select {
		case <-time.After(after):
		case <-r.wake:
		case <-done:
			return
		}
	}
}

func (r *router) sendPacket(p []byte) error {
	s, err := r.p.Sealer(r.now(), 1)
	if err != nil {
		return err
	}
	buf := make([]byte, Overhead+PaddedLen(len(p), 1420))
	copy(buf[HeaderLen:], p)
	r.send(sealOne(&s, buf, len(p), 1420), s.To)
	return nil
}

// echo is an ICMP echo (8) or its reply (0) from 10.77.0.1 to 10.77.0.2.
func echo(typ byte, seq uint16, id, payload []byte) []byte {
	p := make([]byte, 28, 28+len(payload))
	p = append(p, payload...)
	p[0], p[2], p[3], p[8], p[9] = 0x45, byte(len(p)>>8), byte(len(p)), 64, 1
	copy(p[12:], []byte{10, 77, 0, 1, 10, 77, 0, 2})
	putSum(p[10:], p[:20])
	p[20], p[26], p[27] = typ, byte(seq>>8), byte(seq)
	copy(p[24:26], id)
	putSum(p[22:], p[20:])
	return p
}

func putSum(at, over []byte) {
	var sum uint32
	for i, b := range over {
		sum += uint32(b) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	at[0], at[1] = byte(^sum>>8), byte(^sum)
}

// ping sends one echo and waits for its reply.
func (r *router) ping(seq uint16, size int) {
	r.t.Helper()
	if err := r.sendPacket(echo(8, seq, []byte{1, 2}, make([]byte, size))); err != nil {
		r.t.Fatal(err)
	}
	wait(r.t, fmt.Sprintf("reply to ping %d", seq), func() bool { return r.count(seq) > 0 })
}

func (r *router) count(seq uint16) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.replies[seq]
}

// answered returns how many pings were.
func (r *router) answered() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.replies)
}

func (r *router) establish() {
	r.t.Helper()
	r.p.Initiate(r.now())
	wait(r.t, "session", func() bool { return r.p.Status(r.now()).Established })
}
