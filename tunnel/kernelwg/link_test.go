package kernelwg

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// kernel is a device of the kernel's, and the peers beyond it. Handshakes with the addresses in answers succeed at once.
type kernel struct {
	t       *testing.T
	mu      sync.Mutex
	device  wgtypes.Device
	answers []netip.AddrPort
	tried   []netip.AddrPort // where the peer was said to be
	renewed []netip.AddrPort // those of them for which it was made again
	busy    chan struct{}    // not nil: the kernel tells nothing until it is closed
	refuses error            // what configuring fails with
	asked   int              // how often the peer was to be asked
	answer  func()           // what comes of that
	shook   func(netip.AddrPort)
	onTry   func() // called for each of tried
}

func (k *kernel) Close() error { return nil }

func (k *kernel) Device(name string) (*wgtypes.Device, error) {
	k.mu.Lock()
	busy := k.busy
	k.mu.Unlock()
	if busy != nil {
		<-busy
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.device
	d.Peers = slices.Clone(d.Peers)
	return &d, nil
}

func (k *kernel) ConfigureDevice(name string, c wgtypes.Config) error {
	if name != "site-b" || len(c.Peers) != 1 || c.FirewallMark == nil || *c.FirewallMark != 0x2057 {
		k.t.Errorf("%s is configured with %+v", name, c)
	}
	p := c.Peers[0]
	if len(p.AllowedIPs) != 2 || p.AllowedIPs[0].String() != "0.0.0.0/0" || p.AllowedIPs[1].String() != "::/0" {
		k.t.Errorf("allowed %v", p.AllowedIPs)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refuses != nil {
		return k.refuses
	}
	k.device.PrivateKey = *c.PrivateKey
	if c.ListenPort != nil {
		k.device.ListenPort = *c.ListenPort
	}
	if c.ReplacePeers {
		k.device.Peers = nil
	}
	if len(k.device.Peers) == 0 {
		k.device.Peers = []wgtypes.Peer{{PublicKey: p.PublicKey, PresharedKey: *p.PresharedKey}}
	}
	now := &k.device.Peers[0]
	now.PersistentKeepaliveInterval = *p.PersistentKeepaliveInterval
	if p.Endpoint == nil {
		return nil
	}
	now.Endpoint = p.Endpoint
	at := p.Endpoint.AddrPort()
	k.tried = append(k.tried, at)
	if c.ReplacePeers {
		k.renewed = append(k.renewed, at)
	}
	if k.onTry != nil {
		k.onTry()
	}
	if slices.Contains(k.answers, at) && now.PersistentKeepaliveInterval > 0 {
		now.LastHandshakeTime = time.Now()
		if k.shook != nil {
			go k.shook(at)
		}
	}
	return nil
}

func (k *kernel) takeTried() []netip.AddrPort {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.tried
	k.tried = nil
	return t
}

// ask counts, and has the peer answer if the test says how.
func (k *kernel) ask() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	if k.answer != nil {
		go k.answer()
	}
}

func at(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

var testKeys = Keys{PrivateKey: [KeyLen]byte{1}, PeerPublicKey: [KeyLen]byte{2}, PresharedKey: [KeyLen]byte{3}}

func start(t *testing.T, k *kernel, remotes ...string) *Link {
	t.Helper()
	return startWith(t, k, Config{Remotes: remotes, ConnectTimeout: time.Second}, nil)
}

// startWith runs a link; names are the addresses of the remotes that have a name.
func startWith(t *testing.T, k *kernel, c Config, names map[string][]netip.AddrPort) *Link {
	t.Helper()
	k.t = t
	c.Name, c.Interface, c.Control, c.Keys, c.Mark, c.Ask = "site-b", "site-b", k, testKeys, 0x2057, k.ask
	l, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if names != nil {
		l.resolve = func(_ context.Context, _, name string) ([]netip.AddrPort, error) { return names[name], nil }
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return l
}

// The remotes are tried in turn, each for connect_timeout, until one answers. When that is dead the other one is tried
// before it.
func TestRemotesAreTriedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := at("192.0.2.1:51820"), at("192.0.2.2:51820")
		k := &kernel{answers: []netip.AddrPort{second}}
		l := start(t, k, first.String(), second.String())
		k.mu.Lock()
		k.shook = func(netip.AddrPort) { l.SetUp(true) }
		k.mu.Unlock()
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if tried := k.takeTried(); !slices.Equal(tried, []netip.AddrPort{first, second}) || l.Error() != "" {
			t.Fatalf("tried %v, %q", tried, l.Error())
		}
		time.Sleep(time.Minute)
		if tried := k.takeTried(); len(tried) > 0 {
			t.Fatalf("tried %v while the tunnel was up", tried)
		}
		k.mu.Lock()
		k.answers = []netip.AddrPort{first, second}
		k.mu.Unlock()
		l.SetUp(false)
		synctest.Wait()
		if tried := k.takeTried(); !slices.Equal(tried, []netip.AddrPort{first}) {
			t.Fatalf("tried %v after the second was dead", tried)
		}
	})
}

// An address that answers handshakes and carries nothing is left for the next, and told to the operator.
func TestAnswersAndCarriesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := at("192.0.2.1:51820"), at("[2001:db8::2]:51820")
		k := &kernel{answers: []netip.AddrPort{first}}
		l := start(t, k, first.String(), second.String())
		time.Sleep(lookEach + takesAtMost + 500*time.Millisecond)
		synctest.Wait()
		if tried := k.takeTried(); !slices.Equal(tried, []netip.AddrPort{first, second}) {
			t.Errorf("tried %v", tried)
		}
		time.Sleep(time.Second)
		for _, want := range []string{"192.0.2.1:51820 answers handshakes, and nothing comes through", "no answer from [2001:db8::2]:51820"} {
			if !strings.Contains(l.Error(), want) {
				t.Errorf("%q lacks %q", l.Error(), want)
			}
		}
	})
}

// Rounds are apart however soon they fail.
func TestRoundsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{}
		start(t, k, "192.0.2.1:51820")
		time.Sleep(10*roundsApart - time.Second)
		if n := len(k.takeTried()); n != 10 {
			t.Errorf("%d attempts in the time of 10 rounds", n)
		}
	})
}

// A session that the daemon before has left goes on: the peer is not made again.
func TestSessionGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{device: wgtypes.Device{
			PrivateKey: wgtypes.Key(testKeys.PrivateKey),
			Peers: []wgtypes.Peer{{PublicKey: wgtypes.Key(testKeys.PeerPublicKey), PresharedKey: wgtypes.Key(testKeys.PresharedKey),
				LastHandshakeTime: time.Now(), ReceiveBytes: 7}},
		}}
		l := start(t, k, "192.0.2.1:51820")
		time.Sleep(500 * time.Millisecond)
		l.SetUp(true)
		time.Sleep(time.Hour)
		if tried := k.takeTried(); len(tried) > 0 || k.device.Peers[0].ReceiveBytes != 7 {
			t.Errorf("tried %v, and the peer is %+v", tried, k.device.Peers[0])
		}
	})
}

// Another key is another session, so that nothing of the one before stays.
func TestOtherKeysBeginAgain(t *testing.T) {
	for _, change := range []func(*wgtypes.Device){
		func(d *wgtypes.Device) { d.PrivateKey[5]++ },
		func(d *wgtypes.Device) { d.Peers[0].PublicKey[5]++ },
		func(d *wgtypes.Device) { d.Peers[0].PresharedKey[5]++ },
		func(d *wgtypes.Device) { d.Peers = append(d.Peers, wgtypes.Peer{PublicKey: wgtypes.Key{9}}) },
	} {
		k := &kernel{t: t, device: wgtypes.Device{
			PrivateKey: wgtypes.Key(testKeys.PrivateKey),
			Peers:      []wgtypes.Peer{{PublicKey: wgtypes.Key(testKeys.PeerPublicKey), PresharedKey: wgtypes.Key(testKeys.PresharedKey), ReceiveBytes: 7}},
		}}
		change(&k.device)
		if _, err := New(Config{Name: "site-b", Interface: "site-b", Control: k, Keys: testKeys, Mark: 0x2057}); err != nil {
			t.Fatal(err)
		}
		if p := k.device.Peers; len(p) != 1 || p[0].ReceiveBytes != 0 || p[0].PublicKey != wgtypes.Key(testKeys.PeerPublicKey) || k.device.PrivateKey != wgtypes.Key(testKeys.PrivateKey) {
			t.Errorf("the device has %+v", k.device)
		}
	}
}

// An end without remotes waits, sends nothing by itself, and has the kernel know the peer again if something else took it
// out.
func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{}
		l := start(t, k)
		synctest.Wait() // it has made its first round, which makes the peer
		k.mu.Lock()
		k.device.Peers = nil
		k.mu.Unlock()
		if _, err := l.Look(); err == nil {
			t.Error("a session without a peer")
		}
		time.Sleep(2 * roundsApart)
		synctest.Wait()
		k.mu.Lock()
		defer k.mu.Unlock()
		if p := k.device.Peers; len(p) != 1 || p[0].PersistentKeepaliveInterval != 0 || p[0].Endpoint != nil {
			t.Errorf("peers %+v", p)
		}
	})
}

// TestPortIsTold: the port of the interface is told as the kernel has it, though the peer was taken out of it.
func TestPortIsTold(t *testing.T) {
	k := &kernel{t: t}
	var told []uint16
	l, err := New(Config{
		Name: "site-b", Interface: "site-b", Control: k, Keys: testKeys, Mark: 0x2057,
		Listens: func(port uint16) { told = append(told, port) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		port int
		want []uint16
	}{
		{0, nil}, // it is down, and the kernel has chosen none
		{40000, []uint16{40000}},
		{40000, []uint16{40000}},
		{40001, []uint16{40000, 40001}}, // something else has changed it
		{0, []uint16{40000, 40001}},
	} {
		k.with(func() { k.device.ListenPort = step.port })
		if _, err := l.Look(); err != nil || !slices.Equal(told, step.want) {
			t.Errorf("port %d: %v, told %v, want %v", step.port, err, told, step.want)
		}
	}
	k.with(func() { k.device.ListenPort, k.device.Peers = 40002, nil })
	if _, err := l.Look(); err == nil || told[len(told)-1] != 40002 {
		t.Errorf("%v, told %v", err, told)
	}
}

// Where the peer is, and when it was agreed with last, come from the kernel.
func TestSession(t *testing.T) {
	k := &kernel{t: t}
	l, err := New(Config{Name: "site-b", Interface: "site-b", Control: k, Keys: testKeys, Mark: 0x2057, Port: 51821})
	if err != nil {
		t.Fatal(err)
	}
	when := time.Now()
	k.device.Peers[0].Endpoint = net.UDPAddrFromAddrPort(at("[::ffff:192.0.2.1]:4711"))
	k.device.Peers[0].LastHandshakeTime = when
	s, err := l.Look()
	if again, err := l.Session(); again != s || err != nil {
		t.Errorf("%+v, %v is remembered", again, err)
	}
	if err != nil || s.Remote != at("192.0.2.1:4711") || !s.Handshake.Equal(when) || s.Port != 51821 {
		t.Errorf("%+v, %v", s, err)
	}
}
