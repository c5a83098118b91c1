package agent

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/internal/config"
	"warren/internal/status"
	"warren/tunnel"
)

// someConfig is one of very many.
func someConfig(rnd *rand.Rand) *config.Config {
	cfg := router()
	ifnames := []string{"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"}
	for i, name := range []string{"b", "c", "d", "e"} {
		var p config.Peer
		switch rnd.IntN(6) {
		case 0:
			continue
		case 1:
			p = lanPeer(name, fmt.Sprintf("192.0.2.%d", 2+rnd.IntN(2)+10*i))
			p.BGP.LAN.TTLSecurity = rnd.IntN(2) == 0
		default:
			p = secretPeer(name, 0, []string{"x", "y", "z"}[rnd.IntN(3)]+name)
			if first := &p.Tunnels[0]; rnd.IntN(2) == 0 {
				first.Trust.Secrets = append(first.Trust.Secrets, secretPeer("", 0, "one").Tunnels[0].Trust.Secrets...)
				first.Link = i
			}
			for n := range rnd.IntN(3) {
				p.Tunnels = append(p.Tunnels, tunnelOn("", 10+n+rnd.IntN(2)))
			}
		}
		for n := range p.Tunnels {
			t := &p.Tunnels[n]
			t.Interface, ifnames = ifnames[0], ifnames[1:]
			if len(ifnames) > 4 && rnd.IntN(3) == 0 {
				ifnames[0], ifnames[1] = ifnames[1], ifnames[0]
			}
			t.MTU, t.Weight, t.Congestion = 1400+rnd.IntN(3)/2, 1+rnd.IntN(4)/3, []string{"", "", "reno"}[rnd.IntN(3)]
			t.ECN = rnd.IntN(3) == 0
		}
		if len(ifnames) < 3 {
			break
		}
		p.BGP.ASN = 64513 + uint32(rnd.IntN(4)/3)
		p.BGP.MaxPrefixes = 5 + rnd.IntN(2)
		cfg.Peers = append(cfg.Peers, p)
	}
	cfg.Announce.Interfaces = []string{fmt.Sprint(rnd.IntN(2))}
	cfg.TLS.ServerName = []string{"", "", "www.example.net"}[rnd.IntN(3)]
	cfg.BGP.RestartTime = time.Duration(1+rnd.IntN(2)) * time.Minute
	return cfg
}

// TestForetoldIsWhatHappens has many configs foretold and then loaded: a reload says what was foretold, and what
// was said to stay has stayed, and what was said to begin again has.
func TestForetoldIsWhatHappens(t *testing.T) {
	var kinds = map[string]int{}
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		w := newWorldWith(t, someConfig(rnd), func(w *world) { w.locals.has("eth0 192.0.2.1/24") })
		for range 3 {
			for _, name := range sortedKeys(w.tunnels.open) {
				if a := w.attachment(name); a != nil && a.phase == phaseOpen && !a.up() {
					w.up(t, name)
				}
			}
			next := someConfig(rnd)
			w.load = func() (*config.Config, error) { return next, nil }
			before, mark := w.sessions(), len(w.diary)
			f := w.foretold()
			expect(t, "foretelling does", w.since(mark), nil)
			if again := w.sessions(); !maps.Equal(before, again) || len(f.Errors) > 0 {
				t.Fatalf("seed %d: %v became %v; %v", seed, before, again, f.Errors)
			}
			lines, err := w.reload()
			if err != nil {
				t.Fatal(err)
			}
			var texts []string
			for _, c := range f.Changes {
				texts = append(texts, c.Text)
				kinds[c.Effect]++
			}
			slices.Sort(texts)
			slices.Sort(lines)
			expect(t, fmt.Sprintf("seed %d: the reload says", seed), lines, texts)
			w.compare(t, f, before, mark)
			w.turn()
		}
	}
	for _, k := range []string{status.ChangeAdded, status.ChangeRemoved, status.ChangeTunnel, status.ChangeSession, status.ChangeRefresh, status.ChangeKept, status.ChangeRouter} {
		if kinds[k] < 20 {
			t.Errorf("of %s there were only %d", k, kinds[k])
		}
	}
}

// sessions tells the sessions that there are, by the interface or the name of the peer.
func (w *world) sessions() map[string]string {
	all := map[string]string{}
	w.m.all(func(a *attachment) {
		if n, ok := w.speaker.neighbors[a.name]; ok {
			all[a.peer.name+" "+a.cfg.Interface] = fmt.Sprint(a.session.number, n.Generation, n.ASN, n.LocalAddr, n.PeerAddr, n.TTLSecurity)
		}
	})
	return all
}

// compare holds what became of the sessions to what was foretold.
func (w *world) compare(t *testing.T, f status.Foretold, before map[string]string, mark int) {
	t.Helper()
	after := w.sessions()
	touched := map[string][]string{} // effects by session
	for _, c := range f.Changes {
		for s := range before {
			peer, ifname, _ := strings.Cut(s, " ")
			if c.Peer == peer && (c.Interface == "" || c.Interface == ifname) {
				touched[s] = append(touched[s], c.Effect)
			}
		}
	}
	for s, was := range before {
		ends := slices.ContainsFunc(touched[s], func(e string) bool {
			return e == status.ChangeRemoved || e == status.ChangeTunnel || e == status.ChangeSession
		})
		if stays := after[s] == was; stays == ends {
			t.Errorf("session of %s: foretold %v, and it stays: %v (%q, %q); %v", s, touched[s], stays, was, after[s], w.since(mark))
		}
	}
}

// What is refused is foretold with the reason, and what it would be all the same.
func TestForetoldIsRefused(t *testing.T) {
	w := newWorld(t, router(peerConfig("b", 0)))
	next := router()
	next.ASN = 64999
	w.load = func() (*config.Config, error) { return next, nil }
	f := w.foretold()
	if _, err := w.reload(); err == nil || len(f.Errors) != 1 || f.Errors[0] != err.Error() {
		t.Errorf("%v, and %v", f.Errors, err)
	}
	if len(f.Changes) != 1 || f.Changes[0].Text != "peer b: removed" {
		t.Errorf("%+v", f.Changes)
	}
	w.load = func() (*config.Config, error) {
		return nil, config.Errors{{File: "x", Line: 3, Text: "no"}, {File: "y", Text: "no"}}
	}
	if f = w.foretold(); len(f.Errors) != 2 || f.Errors[0] != "x:3: no" {
		t.Errorf("%+v", f)
	}
}

// A key that goes from one peer to another cannot be taken over while the other has it.
func TestForetoldOfAKeyThatMoves(t *testing.T) {
	w := newWorld(t, router(secretPeer("b", 0, "x"), secretPeer("c", 0, "y")))
	w.up(t, "b")
	w.up(t, "c")
	next := router(secretPeer("b", 0, "y"), secretPeer("c", 0, "z"))
	w.load = func() (*config.Config, error) { return next, nil }
	want := []string{"peer b: tunnel changed, reconnecting (tunnel.secret_file)", "peer c: keys changed, a session stays whose key is still there (tunnel.secret_file)"}
	var texts []string
	for _, c := range w.foretold().Changes {
		texts = append(texts, c.Text)
	}
	expect(t, "foretold", texts, want)
	noted, lines := w.reloads(t, next)
	expect(t, "lines", lines, want)
	if !slices.Contains(noted, "close b") || slices.Contains(noted, "close c") || slices.Contains(noted, "keys b") {
		t.Errorf("noted %v", noted)
	}
}

// Whether a session's key is still there is known of most kinds of keys.
func TestForetoldOfTheKeyInUse(t *testing.T) {
	old := secretPeer("b", 0, "old", "new").Tunnels[0].Trust
	secrets := func(files ...string) config.Trust { return secretPeer("b", 0, files...).Tunnels[0].Trust }
	prints := config.Trust{Method: config.TrustFingerprint, Fingerprints: [][32]byte{{1}, {2}}}
	public := config.Trust{Method: config.TrustPublicKey, PublicKeys: [][config.KeySize]byte{{1}}}
	shared := public
	shared.PresharedKey = make(config.Secret, config.KeySize)
	const first = "SHA256:01:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00"
	moved := secrets("old")
	moved.Secrets[0].File = "/elsewhere"
	for i, c := range []struct {
		before, next config.Trust
		used         inUse
		stays, sure  bool
	}{
		{old, secrets("old"), inUse{"/etc/warren/old", 1}, true, true},
		{old, secrets("new"), inUse{"/etc/warren/old", 1}, false, true},
		{old, moved, inUse{"/etc/warren/old", 1}, true, true},
		{old, secrets("old", "x"), inUse{"/etc/warren/old", 0}, true, true}, // its file has another by now
		{old, secrets("new"), inUse{"/etc/warren/old", 0}, false, true},
		{old, prints, inUse{"/etc/warren/old", 1}, false, true},
		{prints, config.Trust{Method: config.TrustFingerprint, Fingerprints: [][32]byte{{1}}}, inUse{first, 1}, true, true},
		{prints, config.Trust{Method: config.TrustFingerprint, Fingerprints: [][32]byte{{2}}}, inUse{first, 1}, false, true},
		{prints, config.Trust{Method: config.TrustCA, PeerName: "b"}, inUse{first, 1}, false, false},
		{public, config.Trust{Method: config.TrustPublicKey, PublicKeys: [][config.KeySize]byte{{2}, {1}}}, inUse{"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 1}, true, true},
		{public, config.Trust{Method: config.TrustPublicKey, PublicKeys: [][config.KeySize]byte{{2}}}, inUse{"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 1}, false, true},
		{public, shared, inUse{"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 1}, false, true},
	} {
		if stays, sure := keeps(c.before, c.next, c.used); stays != c.stays || sure != c.sure {
			t.Errorf("%d: stays %v, sure %v", i, stays, sure)
		}
	}
	w := newWorld(t, router(secretPeer("b", 0, "old")))
	w.up(t, "b")
	w.tunnels.says = map[string]tunnel.Status{"b": {Key: "/etc/warren/old", KeyPlace: 1}}
	_, lines := w.reloads(t, router(secretPeer("b", 0, "old", "new")))
	expect(t, "kept", lines, []string{"peer b: keys changed, the session stays, whose key is still there (tunnel.secret_files)"})
	_, lines = w.reloads(t, router(secretPeer("b", 0, "new")))
	expect(t, "removed", lines, []string{"peer b: keys changed, the session ends and begins again, as its key is not there any more (tunnel.secret_files)"})
}

// A limit that is below what a peer announces ends its session.
func TestForetoldOfALowerLimit(t *testing.T) {
	b := peerConfig("b", 0)
	b.BGP.MaxPrefixes, b.BGP.HardMaxPrefixes = 100, 1000
	w := newWorld(t, router(b))
	w.up(t, "b")
	w.speaker.received = map[string]int{"b": 300}
	for _, c := range []struct {
		hard         int
		effect, text string
	}{
		{500, status.ChangeRefresh, "peer b: filters changed, session kept (bgp.hard_max_prefixes)"},
		{200, status.ChangeRefresh, "peer b: filters changed, session kept unless more than 200 of the 300 prefixes that the peer announces are of one family (bgp.hard_max_prefixes)"},
		{100, status.ChangeSession, "peer b: the session ends, as the peer announces 300 prefixes and may announce 100 of a family (bgp.hard_max_prefixes)"},
	} {
		next := b
		next.BGP.HardMaxPrefixes = c.hard
		w.load = func() (*config.Config, error) { return router(next), nil }
		if f := w.foretold(); len(f.Changes) != 1 || f.Changes[0].Effect != c.effect || f.Changes[0].Text != c.text {
			t.Errorf("%d: %+v", c.hard, f.Changes)
		}
	}
}

// Whatever is another in warren.toml is foretold or refused, also keys that are still to come. What a key makes
// of each peer, or where a file is, is said there or counts for nothing.
func TestNothingOfTheRouterChangesUnsaid(t *testing.T) {
	skipped := []string{"Path", "Peers", "Unread", "CertFile", "KeyFile", "PrivateKeyFile", "ClusterID", "CAFile", "Template", "Names"}
	w := newWorld(t, router())
	fields := 0
	var each func(path string, v reflect.Value, cfg *config.Config)
	each = func(path string, v reflect.Value, cfg *config.Config) {
		for i := range v.NumField() {
			f, of := v.Field(i), v.Type().Field(i)
			if !of.IsExported() || slices.Contains(skipped, of.Name) || path == ".TLS" && of.Name == "Congestion" {
				continue
			}
			at := path + "." + of.Name
			was := reflect.ValueOf(f.Interface())
			switch {
			case f.Type() == reflect.TypeFor[netip.Addr]():
				f.Set(reflect.ValueOf(netip.MustParseAddr("192.0.2.77")))
			case f.Kind() == reflect.Struct:
				each(at, f, cfg)
				continue
			case f.Type() == reflect.TypeFor[*x509.CertPool]():
				f.Set(reflect.ValueOf(x509.NewCertPool()))
			case f.Type() == reflect.TypeFor[*tls.Certificate]():
				f.Set(reflect.ValueOf(certificate(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))))
			case f.Kind() == reflect.String:
				f.SetString("another")
			case f.Kind() == reflect.Bool:
				f.SetBool(!f.Bool())
			case f.Kind() == reflect.Slice:
				f.Set(reflect.MakeSlice(f.Type(), config.KeySize, config.KeySize))
			case f.CanInt():
				f.SetInt(f.Int() + 1)
			case f.CanUint():
				f.SetUint(f.Uint() + 1)
			default:
				t.Fatalf("%s: a %v cannot be changed yet", at, f.Type())
			}
			fields++
			w.load = func() (*config.Config, error) { return cfg, nil }
			w.logChange = func(c config.Log) string {
				if c != w.cfg.Log {
					return "log: changed"
				}
				return ""
			}
			if told := w.foretold(); len(told.Errors)+len(told.Changes) != 1 {
				t.Errorf("%s: %+v", at, told)
			}
			f.Set(was)
		}
	}
	cfg := router()
	each("", reflect.ValueOf(cfg).Elem(), cfg)
	if fields < 20 {
		t.Errorf("only %d fields were changed", fields)
	}
}
