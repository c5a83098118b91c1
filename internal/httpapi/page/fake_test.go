package page

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"warren/internal/history"
	"warren/internal/status"
)

// fake is a Source that a test changes. Its counters grow by themselves.
type fake struct {
	*history.Log
	mu     sync.Mutex
	status status.Status
	err    error
	looked int
	why    func(status.WhyQuestion) (status.Why, error)
}

// newFake has peers with a tunnel each, all up.
func newFake(names ...string) *fake {
	f := &fake{Log: history.New(func(error) {})}
	f.status.Router = status.Router{Name: "site-a", ASN: 64512, RouterID: "10.1.0.1", Version: "test", UptimeS: 4000}
	f.status.FIB = status.FIB{IPv4: 3, IPv6: 2}
	for i, name := range names {
		f.status.Peers = append(f.status.Peers, peer(i, name))
	}
	return f
}

var began = time.Now().Add(-90 * time.Minute)

func peer(i int, name string) status.Peer {
	t := status.PeerTunnel{
		Tunnel: status.Tunnel{
			Transport: "tls", Interface: name, State: "up", Remote: fmt.Sprintf("198.51.100.%d:443", i%250+1), Since: status.At(began),
			RTT: status.Millis(time.Duration(i%40+3) * time.Millisecond), MTU: 1500, RxBytes: 5 << 20, TxBytes: 3 << 20, RxPackets: 7000, TxPackets: 5000,
			Key: "/etc/warren/a-b.secret", Congestion: "bbr",
		},
		Share: 1, Carrying: true,
		BGP: status.BGP{
			Address: fmt.Sprintf("fe80::%x%%%s", i+1, name), ASN: uint32(64513 + i), State: "established", Since: status.At(began),
			Received: 3, Accepted: 2, Announced: 4,
		},
	}
	return status.Peer{Name: name, Tunnel: t.Tunnel, BGP: t.BGP, Tunnels: []status.PeerTunnel{t}}
}

// change has f do something to a peer, and to its first tunnel as it is shown twice.
func (f *fake) change(name string, do func(*status.Peer)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.status.Peers {
		if p := &f.status.Peers[i]; p.Name == name {
			do(p)
			if len(p.Tunnels) > 0 {
				p.Tunnel, p.BGP = p.Tunnels[0].Tunnel, p.Tunnels[0].BGP
			}
		}
	}
}

// down takes a peer's tunnels and sessions down.
func (f *fake) down(name, cause string) {
	now := time.Now()
	f.change(name, func(p *status.Peer) {
		for i := range p.Tunnels {
			t := &p.Tunnels[i]
			t.State, t.Since, t.LastError, t.RTT, t.Flaps = "down", status.At(now), cause, 0, t.Flaps+1
			t.LastReset = status.Reset{Time: status.At(now), Cause: cause}
			t.BGP.State, t.BGP.Since, t.BGP.Received, t.BGP.Accepted, t.BGP.Announced = "idle", status.At(now), 0, 0, 0
			t.Share, t.Carrying = 0, false
		}
	})
	link := 0
	f.Add(history.Event{Kind: history.TunnelDown, Peer: name, Link: &link, Cause: cause, LastedS: 3000})
	f.Add(history.Event{Kind: history.SessionDown, Peer: name, Link: &link, Cause: "its tunnel went down", LastedS: 2999})
}

func (f *fake) up(name string) {
	f.change(name, func(p *status.Peer) {
		for i := range p.Tunnels {
			fresh := peer(i, name).Tunnels[0]
			t := &p.Tunnels[i]
			t.State, t.LastError, t.RTT, t.Since = "up", "", fresh.RTT, status.At(time.Now())
			t.BGP.State, t.BGP.Since = "established", status.At(time.Now())
		}
	})
	link := 0
	f.Add(history.Event{Kind: history.TunnelUp, Peer: name, Link: &link, Remote: "198.51.100.1:443"})
}

func (f *fake) Status(context.Context) (status.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked++
	if f.err != nil {
		return status.Status{}, f.err
	}
	s := f.status
	s.Time = status.At(time.Now())
	s.Peers = append([]status.Peer(nil), s.Peers...)
	for i := range s.Peers {
		s.Peers[i].Tunnels = append([]status.PeerTunnel(nil), s.Peers[i].Tunnels...)
		for j := range s.Peers[i].Tunnels {
			if t := &s.Peers[i].Tunnels[j]; t.State == "up" {
				t.RxBytes += uint64(f.looked*(i+1)) * 12500
				t.TxBytes += uint64(f.looked*(i+1)) * 2500
			}
		}
	}
	return s, nil
}

func (f *fake) Why(_ context.Context, q status.WhyQuestion) (status.Why, error) {
	if f.why == nil {
		return status.Why{}, errors.New("nothing to say")
	}
	return f.why(q)
}

func (f *fake) Events(q history.Query) ([]history.Event, uint64, <-chan struct{}) { return f.Select(q) }

// looks is how often the status was asked for.
func (f *fake) looks() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.looked
}

// serve runs a page on a local address until the test ends, or the returned stop is called.
func serve(t *testing.T, p *Page) (url string, stop func()) {
	t.Helper()
	return serveAt(t, p, "127.0.0.1:0")
}

func serveAt(t *testing.T, p *Page, address string) (url string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: p}}
	server.Start()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		server.CloseClientConnections()
		server.Close()
	})
	t.Cleanup(stop)
	return server.URL, stop
}

// fill gives a page the hour before now: round trips that swing around base, bursts of traffic, and ten
// minutes in which the first peer was down.
func (f *fake) fill(p *Page, base time.Duration) {
	now := time.Now()
	var received, sent uint64
	for n := range maxSamples {
		s, _ := f.Status(context.Background())
		swing := 1 + 0.3*math.Sin(float64(n)/9) + 0.15*math.Sin(float64(n)*1.7)
		received += uint64(1.2e6 * (1 + math.Sin(float64(n)/20)) * (1 + math.Sin(float64(n)*2.1)/4) * 10 / 8)
		sent += uint64(3e5 * swing * 10 / 8)
		for i := range s.Peers {
			for j := range s.Peers[i].Tunnels {
				t := &s.Peers[i].Tunnels[j]
				t.RTT, t.RxBytes, t.TxBytes = status.Millis(float64(base)*swing), received, sent
				if i == 0 && n > 150 && n < 210 {
					t.State, t.RTT = "down", 0
				}
			}
		}
		p.hour.add(now.Add(time.Duration(n-maxSamples)*sampleInterval), s)
	}
}
