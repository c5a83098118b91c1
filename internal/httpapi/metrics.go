package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"warren/internal/status"
)

// newMetrics answers in Prometheus' text format with what collector makes of one status, and with what the
// runtime and the kernel say of this process.
func newMetrics(s Source, version string) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(
		newCollector(s, version),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	answer := promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})
	one := make(chan struct{}, 1) // a scrape at a time, as one of a thousand peers takes megabytes
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		select {
		case one <- struct{}{}:
		case <-req.Context().Done():
			return
		}
		// What the collectors made is garbage before a client that is slow has read the answer.
		whole := &buffered{header: w.Header(), code: http.StatusOK}
		func() {
			defer func() { <-one }()
			answer.ServeHTTP(whole, req)
		}()
		w.WriteHeader(whole.code)
		_, _ = w.Write(whole.body.Bytes())
	})
}

// buffered keeps an answer.
type buffered struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (b *buffered) Header() http.Header         { return b.header }
func (b *buffered) WriteHeader(code int)        { b.code = code }
func (b *buffered) Write(p []byte) (int, error) { return b.body.Write(p) }

// collector makes metrics of a status, which is asked for once a scrape. Every peer of the status has
// its series, whatever is up.
type collector struct {
	source  Source
	version string

	build, restarts, conditions, routes, out             *prometheus.Desc
	tunnelUp, rtt, received, sent, drops, flaps          *prometheus.Desc
	marked                                               *prometheus.Desc
	session, sessionFlaps, prefixes                      *prometheus.Desc
	wireguardSent, wireguardReceived, wireguardHandshake *prometheus.Desc
}

func newCollector(s Source, version string) *collector {
	of := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	// The names and labels that dashboards for prometheus_wireguard_exporter have.
	wireguard := []string{"interface", "public_key", "allowed_ips", "friendly_name"}
	return &collector{
		source: s, version: version,
		build:      of("warren_build_info", "1; which version runs.", "version"),
		restarts:   of("warren_speaker_restarts_total", "How often the process that speaks BGP has ended without being told to."),
		conditions: of("warren_conditions", "How many things do not succeed and are tried again, by the peer that they are about; of the router itself where peer is empty.", "peer"),
		out:        of("warren_peer_out_of_service", "1 while an operator has drained the peer or taken it down, else 0.", "peer"),
		routes:     of("warren_fib_routes", "Routes learned from peers: installed in the kernel, pending, or refused by it (error).", "family", "state"),

		tunnelUp: of("warren_tunnel_up", "1 while the tunnel is up, else 0.", "peer", "link", "transport"),
		rtt:      of("warren_tunnel_rtt_seconds", "Round trip to the peer; 0 as long as none was measured.", "peer", "link"),
		received: of("warren_tunnel_receive_bytes_total", "Bytes of packets that came from the peer.", "peer", "link"),
		sent:     of("warren_tunnel_transmit_bytes_total", "Bytes of packets that were sent to the peer.", "peer", "link"),
		drops:    of("warren_tunnel_drops_total", "Packets that were not delivered, in either direction.", "peer", "link"),
		marked:   of("warren_tunnel_receive_marked_packets_total", "Packets from the peer that the path to here has marked with congestion (CE of ECN).", "peer", "link"),
		flaps:    of("warren_tunnel_flaps_total", "How often the tunnel went down.", "peer", "link"),

		session:      of("warren_bgp_session_up", "1 while the BGP session is established, else 0.", "peer", "link"),
		sessionFlaps: of("warren_bgp_flaps_total", "How often the BGP session ended.", "peer", "link"),
		prefixes:     of("warren_bgp_prefixes", "Prefixes of the sessions with the peer: received, accepted, refused by max_prefixes, announced to it.", "peer", "family", "state"),

		wireguardSent:      of("wireguard_sent_bytes_total", "Bytes of packets that were sent to the peer.", wireguard...),
		wireguardReceived:  of("wireguard_received_bytes_total", "Bytes of packets that came from the peer.", wireguard...),
		wireguardHandshake: of("wireguard_latest_handshake_seconds", "When the last handshake with the peer was, in seconds since 1970; 0: never.", wireguard...),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.build, c.restarts, c.conditions, c.routes, c.out, c.tunnelUp, c.rtt, c.received, c.sent, c.drops, c.marked, c.flaps,
		c.session, c.sessionFlaps, c.prefixes, c.wireguardSent, c.wireguardReceived, c.wireguardHandshake,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	s, err := c.source.Status(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.build, err)
		return
	}
	m := made{ch}
	m.gauge(c.build, 1, c.version)
	m.counter(c.restarts, float64(s.Router.Speaker.Restarts))
	m.gauge(c.conditions, float64(len(s.Router.Conditions)), "")
	c.fib(m, family4, s.FIB.IPv4, s.FIB.Pending-s.FIB.PendingIPv6, s.FIB.Errors-s.FIB.ErrorsIPv6)
	c.fib(m, family6, s.FIB.IPv6, s.FIB.PendingIPv6, s.FIB.ErrorsIPv6)
	for i := range s.Peers {
		c.peer(m, &s.Peers[i])
	}
}

const (
	family4, family6 = "ipv4", "ipv6"
	// anyPrefix is what a tunnel of Warren's carries, in the words of wireguard(8).
	anyPrefix = "0.0.0.0/0,::/0"
)

func (c *collector) peer(m made, p *status.Peer) {
	m.gauge(c.conditions, float64(len(p.Conditions)), p.Name)
	m.gauge(c.out, oneIf(p.Out()), p.Name)
	var ipv4, ipv6 status.Prefixes
	if len(p.Tunnels) == 0 { // it is on a network of this host, and BGP needs no tunnel
		c.bgp(m, p.Name, "0", &p.BGP)
		ipv4, ipv6 = p.BGP.Families.IPv4, p.BGP.Families.IPv6
	}
	for i := range p.Tunnels {
		t := &p.Tunnels[i]
		link := strconv.Itoa(t.Link)
		c.tunnel(m, p.Name, link, t)
		c.bgp(m, p.Name, link, &t.BGP)
		add(&ipv4, t.BGP.Families.IPv4)
		add(&ipv6, t.BGP.Families.IPv6)
	}
	c.counted(m, p.Name, family4, ipv4)
	c.counted(m, p.Name, family6, ipv6)
}

func (c *collector) tunnel(m made, peer, link string, t *status.PeerTunnel) {
	m.gauge(c.tunnelUp, oneIf(t.State == "up"), peer, link, t.Transport)
	m.gauge(c.rtt, time.Duration(t.RTT).Seconds(), peer, link)
	m.counter(c.received, float64(t.RxBytes), peer, link)
	m.counter(c.sent, float64(t.TxBytes), peer, link)
	m.counter(c.drops, float64(t.Drops), peer, link)
	m.counter(c.marked, float64(t.RxMarked), peer, link)
	m.counter(c.flaps, float64(t.Flaps), peer, link)
	switch t.Transport {
	case "wireguard":
		c.wireguard(m, peer, t, t.RxBytes, t.TxBytes)
	case "auto":
		var by status.Carrier // what WireGuard carries of it; nothing while the tunnel is not there
		for _, w := range t.Ways {
			if w.Transport == "wireguard" {
				by = w
			}
		}
		c.wireguard(m, peer, t, by.RxBytes, by.TxBytes)
	}
}

func (c *collector) wireguard(m made, peer string, t *status.PeerTunnel, received, sent uint64) {
	handshake := 0.0
	if t.LastHandshake != nil {
		handshake = float64(t.LastHandshake.Unix())
	}
	labels := []string{t.Interface, t.PublicKey, anyPrefix, peer}
	m.counter(c.wireguardSent, float64(sent), labels...)
	m.counter(c.wireguardReceived, float64(received), labels...)
	m.gauge(c.wireguardHandshake, handshake, labels...)
}

func (c *collector) bgp(m made, peer, link string, b *status.BGP) {
	m.gauge(c.session, oneIf(b.State == "established"), peer, link)
	m.counter(c.sessionFlaps, float64(b.Flaps), peer, link)
}

func (c *collector) counted(m made, peer, family string, n status.Prefixes) {
	m.gauge(c.prefixes, float64(n.Received), peer, family, "received")
	m.gauge(c.prefixes, float64(n.Accepted), peer, family, "accepted")
	m.gauge(c.prefixes, float64(n.Announced), peer, family, "announced")
	m.gauge(c.prefixes, float64(n.Refused), peer, family, "refused")
}

func (c *collector) fib(m made, family string, installed, pending, failed int) {
	m.gauge(c.routes, float64(installed), family, "installed")
	m.gauge(c.routes, float64(pending), family, "pending")
	m.gauge(c.routes, float64(failed), family, "error")
}

func add(sum *status.Prefixes, n status.Prefixes) {
	sum.Received += n.Received
	sum.Accepted += n.Accepted
	sum.Announced += n.Announced
	sum.Refused += n.Refused
}

// made are the metrics of a scrape.
type made struct{ to chan<- prometheus.Metric }

func (m made) gauge(d *prometheus.Desc, v float64, labels ...string) {
	m.to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (m made) counter(d *prometheus.Desc, v float64, labels ...string) {
	m.to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
