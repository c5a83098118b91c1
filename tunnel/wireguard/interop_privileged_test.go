//go:build privileged

package wireguard

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"warren/internal/netns"
	"warren/internal/skip"
	"warren/tunnel"
	"warren/tunnel/wireguard/protocol"
)

// The binary is tools/'s wireguard-go, which has a module of its own.
const wireguardGo = "../../bin/wireguard-go"

// need ends the test where something is missing.
func need(t *testing.T, err error, hint string) {
	t.Helper()
	if err != nil {
		skip.OutsideCI(t, "%v: %s", err, hint)
	}
}

// foreign is a wireguard-go in a namespace, with 10.66.0.2 and fd66::2.
type foreign struct {
	t    *testing.T
	ns   *netns.NS
	name string
	key  protocol.PrivateKey
}

const foreignPort = 51822

func startForeign(t *testing.T) *foreign {
	t.Helper()
	netns.RequireRoot(t)
	_, err := os.Stat(wireguardGo)
	need(t, err, "run `make bin/wireguard-go`")
	_, err = exec.LookPath("wg")
	need(t, err, "run `make deps`")
	f := &foreign{t: t, name: fmt.Sprintf("wgl%d", os.Getpid()), key: protocol.NewPrivateKey()}
	if f.ns, err = netns.NewAnonymous(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.ns.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, wireguardGo, "-f", f.name)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // so that it removes its socket
	cmd.WaitDelay = patience
	if err := f.ns.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
	})
	// wg would delete a socket on which nobody listens yet.
	for deadline := time.Now().Add(patience); f.try("sh", "-c", "ss -xlH | grep -F /"+f.name+".sock") != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			cancel()
			t.Fatalf("wireguard-go does not start: %v: %s", cmd.Wait(), log.String())
		}
	}
	f.run("wg", "set", f.name, "listen-port", fmt.Sprint(foreignPort), "private-key", f.file(f.key))
	f.run("ip", "addr", "add", "10.66.0.2/24", "dev", f.name)
	f.run("ip", "addr", "add", "fd66::2/64", "dev", f.name, "nodad")
	f.run("ip", "link", "set", f.name, "up")
	return f
}

func (f *foreign) file(k [protocol.KeyLen]byte) string {
	f.t.Helper()
	path := filepath.Join(f.t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(protocol.PublicKey(k).String()+"\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

func (f *foreign) try(args ...string) error {
	return f.ns.Do(func() error {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", args, err, out)
		}
		return nil
	})
}

func (f *foreign) run(args ...string) {
	f.t.Helper()
	if err := f.try(args...); err != nil {
		f.t.Fatal(err)
	}
}

// A link of ours and a stock wireguard-go, kernel to kernel: TCP and ping both ways,
// whichever end begins.
func TestForeignPeer(t *testing.T) {
	for _, weBegin := range []bool{true, false} {
		t.Run(fmt.Sprintf("we begin: %v", weBegin), func(t *testing.T) {
			f := startForeign(t)
			psk := protocol.PresharedKey(protocol.NewPrivateKey())
			ns, dev := newNS(t, 1, 2)
			e := NewEndpoint(Config{PrivateKey: protocol.NewPrivateKey()})
			if err := f.ns.Do(func() error { return e.SetListenPort(0) }); err != nil {
				t.Fatal(err)
			}
			c := LinkConfig{
				Name: "foreign", PublicKey: f.key.Public(), PresharedKey: psk, Device: dev, Keepalive: time.Second,
				Marking: Marking{ECN: weBegin, CopyDSCP: weBegin}, // which the far end ignores
			}
			peer := []string{"wg", "set", f.name, "peer", e.PublicKey().String(),
				"allowed-ips", "10.66.0.1/32,fd66::1/128", "preshared-key", f.file(psk)}
			if weBegin {
				c.Remotes = []string{fmt.Sprintf("[::1]:%d", foreignPort)}
			} else {
				peer = append(peer, "endpoint", fmt.Sprintf("127.0.0.1:%d", e.ListenPort()))
			}
			f.run(peer...)
			events := make(chan tunnel.Event, 4)
			c.Events = func(ev tunnel.Event) { events <- ev }
			l, err := e.AddLink(c)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 2)
			go func() { ended <- e.Run(ctx) }()
			go func() { ended <- l.Run(ctx) }()
			defer func() {
				cancel()
				for range 2 {
					if err := <-ended; err != nil {
						t.Error(err)
					}
				}
			}()
			if !weBegin {
				// Replies are lost until the carrier is there, which comes after the packet
				// that confirms the session.
				for deadline := time.Now().Add(patience); ; {
					err := f.try("ping", "-c1", "-W1", "10.66.0.1")
					if err == nil {
						break
					}
					if time.Now().After(deadline) {
						t.Fatal(err)
					}
				}
			}
			select {
			case <-events:
			case <-time.After(patience):
				t.Fatalf("%+v", l.Status())
			}
			for _, host := range []string{"10.66.0.1", "fd66::1"} {
				f.run("ping", "-c3", "-i0.05", "-W30", "-s1300", host)
				f.run("ping", "-c3", "-i0.05", "-W30", "-Q0xba", host) // DSCP EF and ECT(0)
			}
			f.run("sysctl", "-qw", "net.ipv4.tcp_ecn=1")
			const size = 16 << 20
			for _, host := range []string{"10.66.0.2", "fd66::2"} {
				transfer(t, ns, f.ns, host, size)

			}
			transfer(t, f.ns, ns, "fd66::1", size)
			if s := l.Status(); s.State != tunnel.StateUp || s.Stats.Drops > 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}
