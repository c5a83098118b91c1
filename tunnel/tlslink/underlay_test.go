package tlslink

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"warren/tunnel"
)

// watcher is a path to an end that keeps what is seen first of each connection.
type watcher struct {
	l net.Listener

	mu    sync.Mutex
	seen  [][]byte
	shown []*tls.ClientHelloInfo // the same, as any TLS server reads it
}

func newWatcher(t *testing.T, to string) *watcher {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	w := &watcher{l: l}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(in, to)
		}
	}()
	return w
}

func (w *watcher) carry(in net.Conn, to string) {
	defer in.Close()
	first := make([]byte, 16<<10)
	n, _ := in.Read(first)
	first = first[:n]
	hi := readHello(first)
	w.mu.Lock()
	w.seen, w.shown = append(w.seen, first), append(w.shown, hi)
	w.mu.Unlock()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	out.Write(first)
	p := &proxy{}
	go p.copy(out, in)
	p.copy(in, out)
}

// last returns what was seen of the connection that came last.
func (w *watcher) last() ([]byte, *tls.ClientHelloInfo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[len(w.seen)-1], w.shown[len(w.shown)-1]
}

// readHello is what a server without any of our keys reads.
func readHello(record []byte) (hi *tls.ClientHelloInfo) {
	here, there := net.Pipe()
	go func() {
		there.Write(record)
		there.Close()
	}()
	tls.Server(here, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		hi = h
		return nil, errors.New("that is all")
	}}).Handshake()
	here.Close()
	return hi
}

// What the underlay sees of a handshake is what it sees of a browser's: no word of what
// this is, the configured name or one of the day, and protocols of the web.
func TestUnderlaySeesAnOrdinaryHello(t *testing.T) {
	for name, serverName := range map[string]string{"daily name": "", "configured name": "www.example.net"} {
		t.Run(name, func(t *testing.T) {
			a, b := secretPair(t)
			a.endpoint.SetServerName(serverName)
			b.start(secretTrust(0))
			w := newWatcher(t, b.addr())
			a.start(secretTrust(0), w.l.Addr().String())
			a.waitEvents(1)
			keys := a.link.credentials()[0].keys
			want := serverName
			if want == "" {
				want = keys.dailyName(time.Now())
			}
			raw, hi := w.last()
			if hi.ServerName != want || strings.Join(hi.SupportedProtos, " ") != "h2 http/1.1" {
				t.Errorf("%s, %v", hi.ServerName, hi.SupportedProtos)
			}
			if bytes.Contains(raw, []byte("warren")) || bytes.Contains(raw, []byte(keys.serverName)) {
				t.Errorf("it names itself: %q", raw)
			}
			exchangePackets(t, a, b)
		})
	}
}

// Towards a peer that is known by its certificate there is a name only if there is one.
func TestServerNameWithCertificates(t *testing.T) {
	certA, certB := ownCert(t, "a"), ownCert(t, "b")
	for _, name := range []string{"", "www.example.net"} {
		a, b := newEnd(t, Config{Certificate: certA}, "a"), newEnd(t, Config{Certificate: certB}, "b")
		a.endpoint.SetServerName(name)
		b.start(pin(certA))
		w := newWatcher(t, b.addr())
		a.start(pin(certB), w.l.Addr().String())
		a.waitEvents(1)
		if _, hi := w.last(); hi.ServerName != name || strings.Join(hi.SupportedProtos, " ") != "h2 http/1.1" {
			t.Errorf("%q, %v; want %q", hi.ServerName, hi.SupportedProtos, name)
		}
	}
}

// The name changes with the day, whatever the zone, and the listening end takes that of any
// day: a clock that is wrong by years does not keep a peer out.
func TestDailyName(t *testing.T) {
	a, b := secretPair(t)
	b.start(secretTrust(0))
	names := map[string]bool{}
	for _, now := range []time.Time{
		time.Now(), time.Now().Add(24 * time.Hour), time.Now().Add(-24 * time.Hour), time.Unix(0, 0), time.Now().Add(20 * 365 * 24 * time.Hour),
	} {
		w := newWatcher(t, b.addr())
		a.cfg.Trust = secretTrust(0)
		creds, err := newCredentials(secretTrust(0), a.endpoint.cfg.Identity, nil)
		if err != nil {
			t.Fatal(err)
		}
		creds[0].now = func() time.Time { return now }
		l := newLink(a.endpoint, LinkConfig{Name: "a", Device: newFakeDevice("x", 1)}, creds)
		conn, wire, err := l.connect(t.Context(), addrPort(w.l.Addr()))
		if err != nil {
			t.Fatalf("on %v: %v", now, err)
		}
		if !conn.ConnectionState().ECHAccepted {
			t.Error("the name was not hidden")
		}
		wire.Close()
		_, hi := w.last()
		if names[hi.ServerName] {
			t.Errorf("%s again on %v", hi.ServerName, now)
		}
		names[hi.ServerName] = true
	}
	keys, day := b.link.credentials()[0].keys, time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	if keys.dailyName(day) != keys.dailyName(day.Add(24*time.Hour-time.Second)) || keys.dailyName(day) == keys.dailyName(day.Add(-time.Second)) {
		t.Error("it is not that of the UTC day")
	}
}

// Both ends derive these, perhaps with different versions.
func TestHiddenNameDerivationStaysTheSame(t *testing.T) {
	k, err := deriveSecret(secretTrust(0).Secrets[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	const wantName, wantConfig = "vrxobgaaz6r62ie2.net",
		"fe0d00426000200020799bb8ce0341ebeda6224a9942b4a9655e26ab72066f440019f7bc0e04513e6900080001000100010003400f7777772e6578616d706c652e6e65740000"
	if got := k.dailyName(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)); got != wantName {
		t.Errorf("daily name %s, want %s", got, wantName)
	}
	if got := hex.EncodeToString(k.echConfig("www.example.net")); got != wantConfig {
		t.Errorf("config %s, want %s", got, wantConfig)
	}
}

// With hundreds of secrets few are tried, and the right one is among them.
func TestFewSecretsAreTried(t *testing.T) {
	e := NewEndpoint(Config{Identity: tunnel.Identity{1}})
	const links = 300
	for i := range links {
		trust := secretTrust(0)
		key := trust.Secrets[0].Key
		key[0], key[1] = byte(i), byte(i>>8)
		if _, err := e.AddLink(LinkConfig{Name: "p", Trust: trust, Keepalive: time.Second, DeadAfter: 3 * time.Second, Device: newFakeDevice("p", 1)}); err != nil {
			t.Fatal(err)
		}
	}
	tries := 0
	for _, l := range e.links[:30] {
		const name = "www.example.net"
		here, there := net.Pipe()
		go tls.Client(here, l.credentials()[0].dialConfig(name, nil, false)).Handshake()
		hello := make([]byte, maxRecordedHello)
		n, _ := there.Read(hello)
		there.Close()
		found := e.echKeys(name, hello[:n])
		tries += len(found)
		ours := 0
		for _, k := range found {
			if bytes.Equal(k.PrivateKey, l.credentials()[0].keys.ech.Bytes()) {
				ours++
			}
		}
		if ours != 1 {
			t.Fatalf("its own key is there %d times", ours)
		}
	}
	if tries > 30*links/10 {
		t.Fatalf("%d keys tried for 30 hellos", tries)
	}
	if keys := e.echKeys("www.example.net", []byte("GET / HTTP/1.1")); keys == nil || len(keys) != 0 {
		t.Fatalf("%v", keys)
	}
}

func FuzzHelloConfigID(f *testing.F) {
	k, err := deriveSecret(secretTrust(0).Secrets[0].Key)
	if err != nil {
		f.Fatal(err)
	}
	here, there := net.Pipe()
	go tls.Client(here, (&credential{keys: k, now: time.Now}).dialConfig("", nil, false)).Handshake()
	hello := make([]byte, maxRecordedHello)
	n, _ := there.Read(hello)
	there.Close()
	if id, ok := helloConfigID(hello[:n]); !ok || id != k.configID(k.dailyName(time.Now())) {
		f.Fatalf("%d, %v", id, ok)
	}
	f.Add(hello[:n])
	f.Fuzz(func(t *testing.T, b []byte) { helloConfigID(b) })
}

// What a stranger is shown, of a router without a certificate of its own too, and what
// peers with a secret show each other, says nothing of what this is.
func TestStrangersAreShownNothing(t *testing.T) {
	_, b := secretPair(t)
	b.start(secretTrust(0))
	var shown *tls.ConnectionState
	tc := tls.Client(from(t, "127.0.8.1", b.addr()), &tls.Config{
		ServerName: "www.example.net", NextProtos: []string{"h2", "http/1.1"},
		InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error { shown = &s; return nil },
	})
	if err := tc.Handshake(); err == nil {
		tc.SetReadDeadline(time.Now().Add(patience))
		_, err = tc.Read(make([]byte, 1))
		if err == nil || !strings.Contains(err.Error(), "certificate required") {
			t.Errorf("%v, want to be asked for a certificate", err)
		}
	}
	if shown == nil || shown.NegotiatedProtocol != "h2" {
		t.Fatalf("shown: %+v", shown)
	}
	keys := b.link.credentials()[0].keys
	for _, cert := range []*x509.Certificate{shown.PeerCertificates[0], keys.dialer.Leaf, keys.listener.Leaf} {
		if cert.Subject.String() != "CN=localhost" || bytes.Contains(cert.Raw, []byte("warren")) || cert.SerialNumber.BitLen() < 64 {
			t.Errorf("subject %v, serial %v", cert.Subject, cert.SerialNumber)
		}
	}
	if samePublicKey(shown.PeerCertificates[0], &keys.listener) || shown.PeerCertificates[0].PublicKeyAlgorithm != x509.ECDSA {
		t.Error("it has a key that a browser would not take, or the secret's")
	}
}
