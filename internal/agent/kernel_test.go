package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/internal/config"
	"warren/internal/link"
	"warren/tunnel"
	"warren/tunnel/external"
	"warren/tunnel/kernelwg"
	"warren/tunnel/kernelwg/kernelwgtest"
	"warren/tunnel/tun"
)

// kernelConfig is a tunnel that the kernel is to carry.
func kernelConfig(ifname string) config.Tunnel {
	private := make(config.Secret, config.KeySize)
	private[0] = 1
	return config.Tunnel{
		Transport: config.TransportWireGuard, Datapath: config.DatapathKernel, Interface: ifname, MTU: 1420, Weight: 1, ListenPort: 51821,
		Trust: config.Trust{Method: config.TrustPublicKey, PublicKeys: [][config.KeySize]byte{{9}}, PrivateKey: private},
		// No test waits for the peer's silence, and none is for a machine that is too busy to answer.
		Probe: config.ProbeICMP, Keepalive: 50 * time.Millisecond, DeadAfter: time.Minute,
	}
}

func kernelPeer(name string) config.Peer {
	p := peerConfig(name, 0)
	p.Tunnels = []config.Tunnel{kernelConfig("if-" + name)}
	return p
}

// The carrier of the kernel's interface says nothing: it is looked at closely only when it is down, or not where it was.
func TestKernelInterfaceIsMendedWhenItIsDown(t *testing.T) {
	w := newWorld(t, router(kernelPeer("b")))
	look := func(what string, i link.Interface, want ...string) {
		t.Helper()
		w.locals.interfaces = map[string]link.Interface{"if-b": i}
		mark := len(w.diary)
		w.mends(false)
		expect(t, what, w.since(mark), want)
	}
	look("not up yet", link.Interface{Up: true, Carrier: true})
	look("set down", link.Interface{}, "mend b")
	w.up(t, "b")
	look("set down while up", link.Interface{}, "mend b")
	look("up", link.Interface{Up: true, Carrier: true, Addresses: w.attachment("b").session.locals()})
}

// Its keys cannot have changed either, and to ask for its status each second takes the kernel's lock.
func TestKernelTunnelHasItsKeysForGood(t *testing.T) {
	w := newWorld(t, router(kernelPeer("b")))
	w.up(t, "b")
	w.tunnels.says = map[string]tunnel.Status{"b": {Local: tunnel.Identity{3}, Peer: tunnel.Identity{4}}}
	for _, n := range w.speaker.neighbors {
		w.speaker.states = map[string]string{n.Name: "idle"}
	}
	mark := len(w.diary)
	w.followKeys()
	w.turn()
	expect(t, "other keys", w.since(mark), nil)
}

// Another name of the same keys, as of a file that was renamed, changes nothing but the name.
func TestKernelTunnelTakesTheNameOfItsKeys(t *testing.T) {
	withSecret := func(file string, secret byte) config.Tunnel {
		c := kernelConfig("if-b")
		c.Trust = config.Trust{Method: config.TrustSecret, Secrets: []config.SharedSecret{{File: file, Secret: config.Secret{secret, 31: 0}}}}
		return c
	}
	k := &kernelTunnel{}
	k.keys, k.key = kernelKeys(withSecret("a.secret", 1))
	if err := k.SetTrust(withSecret("b.secret", 1)); err != nil || k.key != "b.secret" {
		t.Errorf("%v, and it is known by %s", err, k.key)
	}
	if err := k.SetTrust(withSecret("b.secret", 2)); err == nil {
		t.Error("other keys were taken over")
	}
	other := withSecret("a.secret", 2)
	if lines := planned(t, withSecret("a.secret", 1), other); !slices.Equal(lines, []string{"peer b: tunnel changed, reconnecting (tunnel.secret_file)"}) {
		t.Errorf("other keys: %q", lines)
	}
	other.MTU++
	if lines := planned(t, withSecret("a.secret", 1), other); len(lines) != 1 || strings.Count(lines[0], "secret_file") != 1 || !strings.Contains(lines[0], "tunnel.mtu") {
		t.Errorf("other keys and another MTU: %q", lines)
	}
}

// planned are the lines of a reload by which a peer's tunnel becomes another one.
func planned(t *testing.T, before, next config.Tunnel) (lines []string) {
	t.Helper()
	p := peerConfig("b", 0)
	p.Tunnels = []config.Tunnel{before}
	w := newWorld(t, router(p))
	for _, plan := range w.m.plan([]wantedPeer{{name: "b", bgp: p.BGP, tunnels: []config.Tunnel{next}}}) {
		for _, c := range plan.changes() {
			lines = append(lines, c.Text)
		}
	}
	return lines
}

// What is wrong with the interface is told, and not why no address was of use before.
func TestKernelTunnelTellsWhatIsWrong(t *testing.T) {
	dev := &kernelwgtest.Device{}
	k := &kernelTunnel{cfg: kernelConfig("nosuch0"), failed: func(error) {}}
	var err error
	k.keys, k.key = kernelKeys(k.cfg)
	if k.peer, err = kernelwg.New(kernelwg.Config{Name: "b", Interface: "nosuch0", Control: dev, Keys: k.keys}); err != nil {
		t.Fatal(err)
	}
	if k.Link, err = external.New(external.Config{
		Name: "b", Interface: "nosuch0", Own: true, Look: k.look, PeerAddress: netip.MustParseAddr("fd00::2"), Ping: true,
		Keepalive: k.cfg.Keepalive, DeadAfter: k.cfg.DeadAfter,
	}); err != nil {
		t.Fatal(err)
	}
	dev.Refuse(errors.New("it has no port"))
	ctx, cancel := context.WithCancel(t.Context())
	defer k.work.Wait()
	defer cancel()
	k.work.Go(func() { k.peer.Run(ctx) })
	k.work.Go(func() { _ = k.Run(ctx) })
	for end := time.Now().Add(time.Minute); k.peer.Error() == "" || k.Link.Status().LastError == ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q, %+v", k.peer.Error(), k.Link.Status())
		}
	}
	if s := k.Status(); !strings.Contains(s.LastError, "nosuch0 does not exist") {
		t.Errorf("%+v", s)
	}
}

// fakeWireGuards note what they are asked to do.
type fakeWireGuards struct {
	diary   []string
	aliases map[string]string // of the interfaces that there are
	add     func() error
	remove  func() error
}

func (f *fakeWireGuards) calls() wireguards {
	return wireguards{
		add: func(name, alias string, adopt bool) (int, error) {
			f.diary = append(f.diary, "add "+name)
			return 0, f.add()
		},
		remove: func(name string, isStale func(string) bool) error {
			if alias, ok := f.aliases[name]; ok && isStale(alias) {
				f.diary = append(f.diary, "remove "+name)
				return f.remove()
			}
			return nil
		},
		removeAll: func(suffix string, keep map[string]bool) ([]string, error) {
			f.diary = append(f.diary, "remove all"+suffix+" but "+strings.Join(sortedKeys(keep), " "))
			return nil, nil
		},
		control: func() (kernelwg.Control, error) { return &kernelwgtest.Device{}, nil },
	}
}

// An interface that is being made is not one that nothing needs, and one that could not be made is.
func TestKernelInterfaceIsNotDroppedWhileItIsMade(t *testing.T) {
	f := &fakeWireGuards{}
	i := &interfaces{log: slog.New(slog.DiscardHandler), path: "/w.toml", wireguards: f.calls()}
	f.add = func() error {
		_, err := i.dropKernel()
		return errors.Join(err, errors.New("no memory"))
	}
	if _, err := i.Open("b", kernelConfig("wg0"), reporter{}); err == nil {
		t.Error("it is open")
	}
	if _, err := i.dropKernel(); err != nil {
		t.Error(err)
	}
	expect(t, "calls", f.diary, []string{"add wg0", "remove all of /w.toml but wg0", "remove all of /w.toml but "})
}

// What the daemon before has left of a name that another kind of interface is to have now is removed first.
func TestDatapathChangesWithARestart(t *testing.T) {
	no := errors.New("no")
	f := &fakeWireGuards{aliases: map[string]string{
		"own": kernelAlias("b", "/w.toml"), "renamed": kernelAlias("c", "/w.toml"), "others": kernelAlias("b", "/v.toml"),
	}, add: func() error { return no }, remove: func() error { return nil }}
	i := &interfaces{log: slog.New(slog.DiscardHandler), path: "/w.toml", wireguards: f.calls()}
	open := func(what string, c config.Tunnel, want ...string) {
		t.Helper()
		f.diary = nil
		if _, err := i.Open("b", c, reporter{}); !errors.Is(err, no) {
			t.Errorf("%s: %v", what, err)
		}
		expect(t, what, f.diary, want)
	}
	open("a start", kernelConfig("renamed"), "add renamed")
	i.left = newLeftovers(&left{Tunnels: []leftTunnel{{Name: "b", Device: tun.Handover{Name: "tun", Writer: -1}}}})
	open("a TUN device", kernelConfig("tun"), "add tun")
	if i.left.take("tun") != nil {
		t.Error("the TUN device is still there")
	}
	open("its own", kernelConfig("own"), "add own")
	open("another peer's", kernelConfig("renamed"), "remove renamed", "add renamed")
	open("another daemon's", kernelConfig("others"), "add others")
	f.remove = func() error { return no }
	for _, ifname := range []string{"own", "renamed"} {
		f.diary = nil
		if _, _, err := i.openDevice("b", config.Tunnel{Interface: ifname, MTU: 1400}, 1); !errors.Is(err, no) {
			t.Errorf("a TUN device named %s: %v", ifname, err)
		}
		expect(t, "a TUN device", f.diary, []string{"remove " + ifname})
	}
}

// A daemon that cannot go on with what it was left removes what would outlive it, and leaves what another one works with.
func TestFailedHandoverLeavesNoKernelInterface(t *testing.T) {
	for name, c := range map[string]struct {
		left *left
		over bool
		want []string
	}{
		"handed over": {left: &left{Version: HandoverVersion}, want: []string{"remove all of /w.toml but "}},
		"taken over":  {left: &left{Version: HandoverVersion}, over: true},
		"a start":     {},
	} {
		f := &fakeWireGuards{}
		cfg := router()
		cfg.Path = "/w.toml"
		cfg.History.File = filepath.Join(t.TempDir(), "history")
		a := &Agent{log: slog.New(slog.DiscardHandler), cfg: cfg, left: c.left, flowHash: new(link.FlowHash), wireguards: f.calls()}
		tasks := newTasks(a.log)
		if c.over {
			l := a.newLoop()
			a.cleanUpKernel(l, tasks)
			if _, err := l.left.drop(); err != nil {
				t.Error(err)
			}
		} else if _, err := a.start(t.Context(), tasks); err == nil {
			t.Fatal("it starts without a path for its socket")
		}
		tasks.stopAll()
		expect(t, name, f.diary, c.want)
	}
}
