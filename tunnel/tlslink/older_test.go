package tlslink

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// What the first versions do on the wire, in bytes that never change: the hello of a
// dialing end with link 0, identity 0101…, instance 0202…, session 0303…, lane 0 of 2, all
// offloads, MTU 1500, frames of any size, keepalive 100 ms and dead_after 1 s.
const (
	oldServerName = "2e458be2ae8afb78c76ac165c03b5ee6.warren" // of secretTrust(0)
	oldHello      = "01" + "00005a" + "01" + "0000" +
		"0101010101010101010101010101010101010101010101010101010101010101" +
		"02020202020202020202020202020202" + "0000000000000000" +
		"03030303030303030303030303030303" + "00" + "02" + "0f" +
		"000005dc" + "00010009" + "00000064" + "000003e8"
)

// oldHelloFrame returns the hello of the first versions, with or without their flags.
func oldHelloFrame(t *testing.T, session [16]byte, flags ...byte) []byte {
	t.Helper()
	b, err := hex.DecodeString(oldHello)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[headerLen+1+2+32+16+8:], session[:])
	b = append(b, flags...)
	putHeader(b, frameHello, len(b)-headerLen)
	return b
}

// Of several secrets an older listening end gets the one that it knows.
func TestLaterSecretToOlderListeningEnd(t *testing.T) {
	o := newOldListener(t)
	a, _ := secretPair(t)
	a.start(secrets(1, 0), o.l.Addr().String())
	select {
	case <-o.hellos:
	case <-time.After(patience):
		t.Fatalf("no hello came: %+v", a.link.Status())
	}
}

func oldClient(t *testing.T) *tls.Config {
	keys, err := deriveSecret(secretTrust(0).Secrets[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{"warren/1"},
		ServerName: oldServerName, Certificates: []tls.Certificate{keys.dialer},
	}
}

// A dialing end of a first version comes in, and its packets too.
func TestOlderDialingEndComesIn(t *testing.T) {
	for name, flags := range map[string][]byte{"first": nil, "second": {flagWidens}} {
		t.Run(name, func(t *testing.T) {
			_, b := secretPair(t)
			b.endpoint.renewal.age = time.Millisecond // for which it can't be asked
			b.start(secretTrust(0))
			tc := tls.Client(from(t, "127.0.7.1", b.addr()), oldClient(t))
			tc.SetDeadline(time.Now().Add(patience))
			if _, err := tc.Write(oldHelloFrame(t, [16]byte{3}, flags...)); err != nil {
				t.Fatal(err)
			}
			if p := tc.ConnectionState().NegotiatedProtocol; p != "warren/1" {
				t.Fatalf("protocol %q", p)
			}
			typ, answer, err := readSmall(tc)
			if err != nil || typ != 1 || answer[0] != 1 {
				t.Fatalf("frame %d: %x, %v", typ, answer, err)
			}
			b.waitEvents(1)
			if _, err := tc.Write(encode(3, packet(100))); err != nil {
				t.Fatal(err)
			}
			b.waitWritten(1)
			for range 20 { // the types that it knows
				if typ, _, err := readSmall(tc); err != nil || typ > 6+byte(len(flags)) {
					t.Fatalf("frame %d, %v", typ, err)
				}
				if _, err := tc.Write(encode(4, make([]byte, 8))); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// oldListener is a listening end of a first version. It answers hellos until the test
// ends.
type oldListener struct {
	l      net.Listener
	hellos chan []byte // payloads
}

func newOldListener(t *testing.T) *oldListener {
	t.Helper()
	keys, err := deriveSecret(secretTrust(0).Secrets[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	o := &oldListener{l: l, hellos: make(chan []byte, 16)}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"warren/1"}, ClientAuth: tls.RequireAnyClientCert}
	cfg.GetCertificate = func(hi *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hi.ServerName != oldServerName {
			return nil, errors.New("unknown name")
		}
		return &keys.listener, nil
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go o.serve(tls.Server(c, cfg), t)
		}
	}()
	return o
}

func (o *oldListener) serve(tc *tls.Conn, t *testing.T) {
	defer tc.Close()
	typ, hello, err := readSmall(tc)
	if err != nil || typ != 1 {
		return
	}
	o.hellos <- slices.Clone(hello)
	h, err := parseHello(hello)
	if err != nil {
		return
	}
	if _, err := tc.Write(oldHelloFrame(t, h.session)); err != nil {
		return
	}
	go func() {
		for range 200 {
			tc.Write(encode(4, make([]byte, 8)))
			time.Sleep(20 * time.Millisecond)
		}
	}()
	io.Copy(io.Discard, tc)
}

// A listening end of a first version is dialed in the form that it knows, after it refused
// the present one.
func TestOlderListeningEndIsDialed(t *testing.T) {
	a, _ := secretPair(t)
	o := newOldListener(t)
	w := newWatcher(t, o.l.Addr().String())
	a.start(secretTrust(0), w.l.Addr().String())
	a.waitEvents(1)
	if hello := <-o.hellos; len(hello) < helloLen || hello[0] != 1 {
		t.Fatalf("hello %x", hello)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.shown) != 2 || strings.HasSuffix(w.shown[0].ServerName, "warren") || w.shown[1].ServerName != oldServerName || w.shown[1].SupportedProtos[0] != "warren/1" {
		t.Fatalf("shown: %+v", w.shown)
	}
}

// Somebody on the path who refuses for the peer is not told the old name, unless that goes
// on as it does when the peer has gone back to a first version.
func TestOldFormIsNotForTheAsking(t *testing.T) {
	now := time.Now()
	var f form
	if !f.mayBeOld(now) {
		t.Error("a peer that was never reached may be an old one")
	}
	f.isNew()
	if f.mayBeOld(now) || f.mayBeOld(now.Add(oldFormAfter/2)) {
		t.Error("a peer that knew the present form is shown the old one")
	}
	f.isNew()
	if f.mayBeOld(now.Add(oldFormAfter)) {
		t.Error("refusals before it was reached count")
	}
	if !f.mayBeOld(now.Add(2 * oldFormAfter)) {
		t.Error("it may have gone back to an old version")
	}
	f.isOld()
	if !f.mayBeOld(now) {
		t.Error("it is an old one")
	}

	a, b := secretPair(t)
	b.start(secretTrust(0))
	a.start(secretTrust(0), b.addr())
	a.waitEvents(1)
	o := newOldListener(t)
	if _, _, err := a.link.connect(context.Background(), addrPort(o.l.Addr())); !errors.Is(err, errOtherProtocol) {
		t.Fatalf("%v", err)
	}
}
