//go:build privileged

package protocol

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestInterop(t *testing.T) {
	for name, psk := range map[string]PresharedKey{"without a preshared key": {}, "with one": {7, 7, 7}} {
		t.Run(name, func(t *testing.T) {
			d := startDevice(t, psk)
			r := newRouter(d, Config{}, psk)
			d.setPeer(r.m.PublicKey(), "")
			t.Log("as the initiator")
			r.establish()
			for i, size := range []int{0, 1, 56, 1000, 1391, 1392} {
				r.ping(uint16(i), size)
			}
			d.run("ping", "-c3", "-i0.1", "-W30", "-s1392", "10.77.0.1")
			r.mu.Lock()
			if len(r.errs) > 0 {
				t.Errorf("errors %v", r.errs)
			}
			r.mu.Unlock()

			t.Log("rekeying")
			since := r.p.Status(r.now()).Since
			r.skip(rekeyAfterTime + time.Second)
			r.ping(100, 100)
			wait(t, "new session", func() bool { return r.p.Status(r.now()).Since.After(since) })
			r.ping(101, 100)

			t.Log("as the responder")
			d.setPeer(r.m.PublicKey(), r.conn.LocalAddr().String())
			d.run("ping", "-c3", "-i0.1", "-W30", "10.77.0.1")
			if s := r.p.Status(r.now()); !s.Established || s.Initiator {
				t.Fatalf("%+v: want a session that the other end began", s)
			}
			r.ping(102, 100)

			t.Log("roaming")
			moved := r.listen(d)
			go r.receive(moved)
			r.mu.Lock()
			old := r.conn
			r.conn = moved
			r.mu.Unlock()
			t.Cleanup(func() { old.Close() })
			r.ping(103, 100)
			d.run("ping", "-c1", "-W30", "10.77.0.1")
			if got := strings.Fields(d.run("wg", "show", d.name, "endpoints")); got[1] != r.conn.LocalAddr().String() {
				t.Errorf("it looks for us at %v", got)
			}

			t.Log("what it sent, again")
			r.mu.Lock()
			before, heard := len(r.replies), slices.Clone(r.heard)
			r.mu.Unlock()
			for _, msg := range heard {
				if got := r.m.Receive(r.now(), elsewhere, bytes.Clone(msg)); got.Peer != nil || got.Reply != nil {
					t.Fatalf("accepted again: %+v", got)
				}
			}
			if r.answered() != before || r.p.Status(r.now()).Endpoint != d.addr {
				t.Error("replays changed something")
			}
		})
	}
}

// Each datagram is lost, doubled or delayed with some probability.
func TestInteropOnABadNetwork(t *testing.T) {
	d := startDevice(t, PresharedKey{})
	r := newRouter(d, Config{}, PresharedKey{})
	d.setPeer(r.m.PublicKey(), "")
	r.establish()
	n := 0
	late := map[bool][]byte{}
	r.mu.Lock()
	r.mangle = func(out bool, msg []byte) [][]byte {
		n++
		held := late[out]
		switch {
		case n%10 == 3: // lost
			return nil
		case n%10 == 5: // doubled
			return [][]byte{msg, msg}
		case n%10 == 7 && held == nil: // later than the next ones
			late[out] = bytes.Clone(msg)
			return nil
		case n%10 == 1 && held != nil:
			late[out] = nil
			return [][]byte{msg, held}
		}
		return [][]byte{msg}
	}
	r.mu.Unlock()
	answered := func() (once, more int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, c := range r.replies {
			if c > 1 {
				more++
			}
		}
		return len(r.replies), more
	}
	const pings, atOnce = 500, 10
	sent := 0
	wait(t, "replies", func() bool {
		for range atOnce {
			if err := r.sendPacket(echo(8, uint16(sent), []byte{1, 2}, make([]byte, 64))); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		once, _ := answered()
		return once > pings*6/10 && sent > pings
	})
	if _, more := answered(); more > 0 {
		t.Errorf("%d packets arrived more than once", more)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, err := range r.errs {
		if !errors.Is(err, errReplay) && !errors.Is(err, errStale) {
			t.Errorf("%v", err)
		}
	}
}

func TestInteropWrongKeys(t *testing.T) {
	for name, tc := range map[string]func(d *device, r *router){
		"stranger": func(d *device, r *router) { d.setPeer(NewPrivateKey().Public(), "") },
		"preshared key": func(d *device, r *router) {
			d.psk = PresharedKey{1}
			d.setPeer(r.m.PublicKey(), r.conn.LocalAddr().String())
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := startDevice(t, PresharedKey{})
			r := newRouter(d, Config{}, PresharedKey{})
			tc(d, r)
			r.p.Initiate(r.now())
			if out, err := d.try("ping", "-c1", "-W1", "10.77.0.1"); err == nil {
				t.Errorf("they talk: %s", out)
			}
			if s := r.p.Status(r.now()); s.Established {
				t.Errorf("%+v", s)
			}
			if got := d.run("wg", "show", d.name, "latest-handshakes"); !strings.HasSuffix(strings.TrimSpace(got), "\t0") {
				t.Errorf("it has a session: %s", got)
			}
		})
	}
}

// Under load wireguard-go wants a cookie of ours, and we one of it.
func TestInteropCookies(t *testing.T) {
	t.Run("of theirs", func(t *testing.T) {
		d := startDevice(t, PresharedKey{})
		r := newRouter(d, Config{}, PresharedKey{})
		d.setPeer(r.m.PublicKey(), "")
		flood := strangers(t, d)
		conn := r.listen(d)
		defer conn.Close()
		burst := func() {
			for range 2000 {
				conn.WriteToUDPAddrPort(flood, d.addr)
			}
		}
		cookies := func() (n int) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, msg := range r.heard {
				if messageType(msg) == typeCookie {
					n++
				}
			}
			return n
		}
		wait(t, "cookie", func() bool {
			burst()
			r.p.Initiate(r.now())
			r.skip(rekeyTimeout + maxJitter)
			return cookies() > 0
		})
		wait(t, "session", func() bool {
			burst()
			r.skip(rekeyTimeout + maxJitter)
			return r.p.Status(r.now()).Established
		})
		r.ping(1, 10)
	})
	t.Run("of ours", func(t *testing.T) {
		d := startDevice(t, PresharedKey{})
		r := newRouter(d, Config{Handshakes: 1}, PresharedKey{})
		noise := strangers(t, &device{t: t, key: r.m.me.private})
		var verdicts []int // under r.mu
		r.mu.Lock()
		r.before = func(msg []byte) {
			r.mu.Lock()
			verdicts = append(verdicts, messageType(msg))
			r.mu.Unlock()
			for range 3 {
				r.m.Receive(r.now(), elsewhere, bytes.Clone(noise))
			}
		}
		r.mu.Unlock()
		d.setPeer(r.m.PublicKey(), r.conn.LocalAddr().String())
		wait(t, "session", func() bool { // it tries again after 5 s
			_, err := d.try("ping", "-c1", "-W1", "10.77.0.1")
			return err == nil
		})
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(verdicts) < 2 || verdicts[0] != typeInitiation || verdicts[1] != typeInitiation {
			t.Errorf("messages %v: want an initiation refused, and another with the cookie", verdicts)
		}
	})
}

// strangers returns an initiation with a valid first MAC, of nobody a device knows.
func strangers(t *testing.T, d *device) []byte {
	t.Helper()
	m := New(Config{PrivateKey: NewPrivateKey()})
	p, err := m.AddPeer(PeerConfig{PublicKey: d.key.Public(), Endpoint: elsewhere})
	if err != nil {
		t.Fatal(err)
	}
	p.Initiate(time.Now())
	return p.Tick(time.Now())[0]
}
