package httpapi

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"warren/internal/history"
	"warren/internal/status"
)

// scrape returns what /metrics says: each series in one line, as NAME{LABELS} VALUE, and their kinds by name.
func scrape(t *testing.T, h http.Handler) (series []string, kinds map[string]dto.MetricType, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	text = w.Body.String()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	kinds = map[string]dto.MetricType{}
	for name, f := range families {
		kinds[name] = f.GetType()
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			value := m.GetGauge().GetValue() + m.GetCounter().GetValue()
			series = append(series, fmt.Sprintf("%s{%s} %v", name, strings.Join(labels, ","), value))
		}
	}
	slices.Sort(series)
	return series, kinds, text
}

// ours are those that are not of the runtime's and the process's collectors.
func ours(series []string) []string {
	return slices.DeleteFunc(slices.Clone(series), func(s string) bool {
		return !strings.HasPrefix(s, "warren_") && !strings.HasPrefix(s, "wireguard_")
	})
}

// routerWith is a status with a peer of each kind.
func routerWith() status.Status {
	handshake := status.At(time.Unix(1700000000, 0))
	b := peerNamed("site-b", "up", "established")
	b.Tunnels[0].RTT, b.Tunnels[0].RxBytes, b.Tunnels[0].TxBytes = status.Millis(1500*time.Microsecond), 10, 20
	b.Tunnels[0].Flaps, b.Tunnels[0].Drops, b.Tunnels[0].BGP.Flaps = 3, 4, 5
	b.Tunnels[0].RxMarked = 6
	b.Tunnels[0].BGP.Families = status.Families{IPv4: status.Prefixes{Received: 9, Accepted: 8, Announced: 7, Refused: 1}, IPv6: status.Prefixes{Received: 2, Accepted: 2}}
	second := b.Tunnels[0]
	second.Link, second.Transport, second.Interface = 1, "wireguard", "site-b.1"
	second.PublicKey, second.LastHandshake = "aGVsbG8=", &handshake
	b.Tunnels = append(b.Tunnels, second)
	lan := peerNamed("lan", "up", "active")
	lan.Tunnels, lan.Drained = nil, &status.Drain{}
	both := peerNamed("both", "up", "established")
	both.Tunnels[0].Transport, both.Tunnels[0].PublicKey = "auto", "Ym90aA=="
	both.Tunnels[0].RxBytes, both.Tunnels[0].TxBytes = 100, 200
	both.Tunnels[0].Ways = []status.Carrier{{Transport: "tls", RxBytes: 70, TxBytes: 140}, {Transport: "wireguard", RxBytes: 30, TxBytes: 60}}
	never := peerNamed("never", "connecting", "idle")
	never.Tunnels[0].Transport = "wireguard"
	never.Conditions, never.Down = []status.Condition{{}, {}}, &status.TakenDown{}
	return status.Status{
		Router: status.Router{Speaker: status.Speaker{Restarts: 2}, Conditions: []status.Condition{{}}},
		Peers:  []status.Peer{b, both, lan, never},
		FIB:    status.FIB{IPv4: 8, IPv6: 2, Pending: 5, Errors: 7, PendingIPv6: 1, ErrorsIPv6: 3},
	}
}

// Names and labels are what dashboards and alerts rely on. Each peer has its series, whatever is up.
func TestMetrics(t *testing.T) {
	d := &fakeDaemon{is: routerWith(), events: history.New(func(error) {})}
	series, kinds, text := scrape(t, newMetrics(d, "v1.2"))
	want := strings.Split(strings.TrimSpace(`
warren_bgp_flaps_total{link=0,peer=both} 0
warren_bgp_prefixes{family=ipv4,peer=both,state=accepted} 0
warren_bgp_prefixes{family=ipv4,peer=both,state=announced} 0
warren_bgp_prefixes{family=ipv4,peer=both,state=received} 0
warren_bgp_prefixes{family=ipv4,peer=both,state=refused} 0
warren_bgp_prefixes{family=ipv6,peer=both,state=accepted} 0
warren_bgp_prefixes{family=ipv6,peer=both,state=announced} 0
warren_bgp_prefixes{family=ipv6,peer=both,state=received} 0
warren_bgp_prefixes{family=ipv6,peer=both,state=refused} 0
warren_bgp_session_up{link=0,peer=both} 1
warren_conditions{peer=both} 0
warren_peer_out_of_service{peer=both} 0
warren_tunnel_drops_total{link=0,peer=both} 0
warren_tunnel_flaps_total{link=0,peer=both} 0
warren_tunnel_receive_bytes_total{link=0,peer=both} 100
warren_tunnel_receive_marked_packets_total{link=0,peer=both} 0
warren_tunnel_rtt_seconds{link=0,peer=both} 0
warren_tunnel_transmit_bytes_total{link=0,peer=both} 200
warren_tunnel_up{link=0,peer=both,transport=auto} 1
wireguard_latest_handshake_seconds{allowed_ips=0.0.0.0/0,::/0,friendly_name=both,interface=both,public_key=Ym90aA==} 0
wireguard_received_bytes_total{allowed_ips=0.0.0.0/0,::/0,friendly_name=both,interface=both,public_key=Ym90aA==} 30
wireguard_sent_bytes_total{allowed_ips=0.0.0.0/0,::/0,friendly_name=both,interface=both,public_key=Ym90aA==} 60
warren_bgp_flaps_total{link=0,peer=lan} 0
warren_bgp_flaps_total{link=0,peer=never} 0
warren_bgp_flaps_total{link=0,peer=site-b} 5
warren_bgp_flaps_total{link=1,peer=site-b} 5
warren_bgp_prefixes{family=ipv4,peer=lan,state=accepted} 0
warren_bgp_prefixes{family=ipv4,peer=lan,state=announced} 0
warren_bgp_prefixes{family=ipv4,peer=lan,state=received} 0
warren_bgp_prefixes{family=ipv4,peer=lan,state=refused} 0
warren_bgp_prefixes{family=ipv4,peer=never,state=accepted} 0
warren_bgp_prefixes{family=ipv4,peer=never,state=announced} 0
warren_bgp_prefixes{family=ipv4,peer=never,state=received} 0
warren_bgp_prefixes{family=ipv4,peer=never,state=refused} 0
warren_bgp_prefixes{family=ipv4,peer=site-b,state=accepted} 16
warren_bgp_prefixes{family=ipv4,peer=site-b,state=announced} 14
warren_bgp_prefixes{family=ipv4,peer=site-b,state=received} 18
warren_bgp_prefixes{family=ipv4,peer=site-b,state=refused} 2
warren_bgp_prefixes{family=ipv6,peer=lan,state=accepted} 0
warren_bgp_prefixes{family=ipv6,peer=lan,state=announced} 0
warren_bgp_prefixes{family=ipv6,peer=lan,state=received} 0
warren_bgp_prefixes{family=ipv6,peer=lan,state=refused} 0
warren_bgp_prefixes{family=ipv6,peer=never,state=accepted} 0
warren_bgp_prefixes{family=ipv6,peer=never,state=announced} 0
warren_bgp_prefixes{family=ipv6,peer=never,state=received} 0
warren_bgp_prefixes{family=ipv6,peer=never,state=refused} 0
warren_bgp_prefixes{family=ipv6,peer=site-b,state=accepted} 4
warren_bgp_prefixes{family=ipv6,peer=site-b,state=announced} 0
warren_bgp_prefixes{family=ipv6,peer=site-b,state=received} 4
warren_bgp_prefixes{family=ipv6,peer=site-b,state=refused} 0
warren_bgp_session_up{link=0,peer=lan} 0
warren_bgp_session_up{link=0,peer=never} 0
warren_bgp_session_up{link=0,peer=site-b} 1
warren_bgp_session_up{link=1,peer=site-b} 1
warren_build_info{version=v1.2} 1
warren_conditions{peer=lan} 0
warren_conditions{peer=never} 2
warren_conditions{peer=site-b} 0
warren_conditions{peer=} 1
warren_peer_out_of_service{peer=lan} 1
warren_peer_out_of_service{peer=never} 1
warren_peer_out_of_service{peer=site-b} 0
warren_fib_routes{family=ipv4,state=error} 4
warren_fib_routes{family=ipv4,state=installed} 8
warren_fib_routes{family=ipv4,state=pending} 4
warren_fib_routes{family=ipv6,state=error} 3
warren_fib_routes{family=ipv6,state=installed} 2
warren_fib_routes{family=ipv6,state=pending} 1
warren_speaker_restarts_total{} 2
warren_tunnel_drops_total{link=0,peer=never} 0
warren_tunnel_drops_total{link=0,peer=site-b} 4
warren_tunnel_drops_total{link=1,peer=site-b} 4
warren_tunnel_flaps_total{link=0,peer=never} 0
warren_tunnel_flaps_total{link=0,peer=site-b} 3
warren_tunnel_flaps_total{link=1,peer=site-b} 3
warren_tunnel_receive_bytes_total{link=0,peer=never} 0
warren_tunnel_receive_bytes_total{link=0,peer=site-b} 10
warren_tunnel_receive_bytes_total{link=1,peer=site-b} 10
warren_tunnel_receive_marked_packets_total{link=0,peer=never} 0
warren_tunnel_receive_marked_packets_total{link=0,peer=site-b} 6
warren_tunnel_receive_marked_packets_total{link=1,peer=site-b} 6
warren_tunnel_rtt_seconds{link=0,peer=never} 0
warren_tunnel_rtt_seconds{link=0,peer=site-b} 0.0015
warren_tunnel_rtt_seconds{link=1,peer=site-b} 0.0015
warren_tunnel_transmit_bytes_total{link=0,peer=never} 0
warren_tunnel_transmit_bytes_total{link=0,peer=site-b} 20
warren_tunnel_transmit_bytes_total{link=1,peer=site-b} 20
warren_tunnel_up{link=0,peer=never,transport=wireguard} 0
warren_tunnel_up{link=0,peer=site-b,transport=tls} 1
warren_tunnel_up{link=1,peer=site-b,transport=wireguard} 1
wireguard_latest_handshake_seconds{allowed_ips=0.0.0.0/0,::/0,friendly_name=never,interface=never,public_key=} 0
wireguard_latest_handshake_seconds{allowed_ips=0.0.0.0/0,::/0,friendly_name=site-b,interface=site-b.1,public_key=aGVsbG8=} 1.7e+09
wireguard_received_bytes_total{allowed_ips=0.0.0.0/0,::/0,friendly_name=never,interface=never,public_key=} 0
wireguard_received_bytes_total{allowed_ips=0.0.0.0/0,::/0,friendly_name=site-b,interface=site-b.1,public_key=aGVsbG8=} 10
wireguard_sent_bytes_total{allowed_ips=0.0.0.0/0,::/0,friendly_name=never,interface=never,public_key=} 0
wireguard_sent_bytes_total{allowed_ips=0.0.0.0/0,::/0,friendly_name=site-b,interface=site-b.1,public_key=aGVsbG8=} 20
`), "\n")
	slices.Sort(want)
	if got := ours(series); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for name, kind := range kinds {
		if is := kind == dto.MetricType_COUNTER; strings.HasPrefix(name, "w") && is != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is a %v", name, kind)
		}
	}
	for _, name := range []string{"go_goroutines", "go_memstats_heap_alloc_bytes", "process_resident_memory_bytes", "process_start_time_seconds"} {
		if !slices.Contains(slices.Collect(maps.Keys(kinds)), name) {
			t.Errorf("%s is missing", name)
		}
	}
	promtool(t, text, "check", "metrics")
}

// How many series a peer has is what docs/monitoring.md says, and so is each metric, with its type and its labels.
func TestMonitoringPageHasAllMetrics(t *testing.T) {
	d := &fakeDaemon{is: routerWith(), events: history.New(func(error) {})}
	series, kinds, _ := scrape(t, newMetrics(d, "v1"))
	text, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	count, page := map[string]int{}, map[string]bool{}
	for _, s := range ours(series) {
		for _, peer := range []string{"both", "lan", "never", "site-b"} {
			if strings.Contains(s, "peer="+peer) || strings.Contains(s, "friendly_name="+peer) {
				count[peer]++
			}
		}
	}
	if count["both"] != 22 || count["never"] != 22 || count["lan"] != 12 || count["site-b"] != 19+12 {
		t.Errorf("%v", count)
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(w[a-z_]+)` \\| (gauge|counter) \\| (.*?) ?\\| .+ \\|$").FindAllStringSubmatch(string(text), -1) {
		page[m[1]] = true
		kind, there := kinds[m[1]]
		if !there || strings.ToLower(kind.String()) != m[2] {
			t.Errorf("%s: a %s, %v", m[1], m[2], kind)
		}
		want := exported(t)[m[1]][2:] // without those that Prometheus adds
		got := regexp.MustCompile("[a-z_]+").FindAllString(m[3], -1)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: labels %v, want %v", m[1], got, want)
		}
	}
	for name := range kinds {
		if strings.HasPrefix(name, "w") && !page[name] {
			t.Errorf("docs/monitoring.md has no row for %s", name)
		}
	}
}

// What becomes of peers is seen at the next scrape: those that are removed leave nothing.
func TestMetricsOfRemovedPeersGo(t *testing.T) {
	d := &fakeDaemon{is: routerWith(), events: history.New(func(error) {})}
	h := newMetrics(d, "v1")
	scrape(t, h)
	d.is.Peers = d.is.Peers[:1]
	series, _, _ := scrape(t, h)
	for _, s := range series {
		if strings.Contains(s, "never") || strings.Contains(s, "lan") {
			t.Errorf("%s is still there", s)
		}
	}
}

// A scrape costs the daemon's loop one question, however many peers there are, and what a peer adds is bounded.
func TestMetricsOfAThousandPeers(t *testing.T) {
	d := &fakeDaemon{is: thousand(), events: history.New(func(error) {})}
	series, _, text := scrape(t, newMetrics(d, "v1"))
	if n := d.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	const each, rest = 22, 200
	if n := len(series); n > 1000*each+rest {
		t.Errorf("%d series", n)
	}
	if n := len(text); n > 3<<20 {
		t.Errorf("%d bytes", n)
	}
	t.Logf("%d series, %d bytes", len(series), len(text))
}

func thousand() (s status.Status) {
	for i := range 1000 {
		p := peerNamed(fmt.Sprintf("branch-office-%d", i), "up", "established")
		p.Tunnels[0].Transport, p.Tunnels[0].PublicKey = "wireguard", strings.Repeat("k", 43)+"="
		s.Peers = append(s.Peers, p)
	}
	return s
}

func BenchmarkMetricsOfAThousandPeers(b *testing.B) {
	h := newMetrics(&fakeDaemon{is: thousand()}, "v1")
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil))
	}
}

// A daemon that does not answer is an error, rather than no peers.
func TestMetricsWithoutADaemon(t *testing.T) {
	d := &fakeDaemon{err: errors.New("not begun"), events: history.New(func(error) {})}
	w := httptest.NewRecorder()
	newMetrics(d, "v1").ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "not begun") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
