package status

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func example() Status {
	return Status{
		Time: At(noon),
		Router: Router{
			Name: "site-a", ASN: 64512, RouterID: "10.0.0.1", Version: "1.0", UptimeS: 93784,
			Speaker: Speaker{PID: 4711, Restarts: 2, LastError: "panic: \x1b!"},
			Source:  Source{IPv4: "10.1.0.1", IPv6: "2001:db8:1::1"},
			Hints:   []Hint{{Text: "mind the \x1bgap"}, {Text: "look up", Peer: "site-b"}},
			Conditions: []Condition{{Kind: "listen_tls", Since: At(noon.Add(-time.Minute)), Tries: 7,
				Text: "peers cannot connect over TLS: tls.listen: \x1b in use"}},
		},
		Peers: []Peer{
			siteB(),
			{
				Name: "a-much-longer-one",
				Tunnel: Tunnel{
					Transport: "wireguard", Interface: "c", State: "connecting", Remote: "[2001:db8::3]:51820", MTU: 1420,
					RxBytes: 1 << 20, LastError: "no answer for 3s",
				},
				BGP:        BGP{ASN: 4200000000, State: "idle", LastError: "evil\x1b[2J\npeer\u202e"},
				Tunnels:    []PeerTunnel{},
				Conditions: []Condition{},
			},
			{Name: "new", Tunnel: Tunnel{Transport: "tls", Interface: "new", State: "down", RTT: Millis(1234 * time.Millisecond)},
				BGP: BGP{State: "idle"}, Tunnels: []PeerTunnel{}, Conditions: []Condition{}},
		},
		FIB: FIB{IPv4: 1, IPv6: 2, Pending: 3, Errors: 4},
	}
}

// siteB has two tunnels, of which one could not be made.
func siteB() Peer {
	p := Peer{
		Name: "site-b",
		Tunnel: Tunnel{
			Transport: "tls", Interface: "site-b", State: "up", Remote: "198.51.100.2:443",
			Since: At(noon.Add(-90 * time.Minute)), RTT: Millis(412345 * time.Nanosecond), MTU: 1500,
			RxBytes: 1023, TxBytes: 5 << 30, RxPackets: 7, TxPackets: 8, Drops: 1,
		},
		BGP: BGP{
			Address: "fd00::2", ASN: 64513, State: "established", Since: At(noon.Add(-89 * time.Minute)),
			Received: 3, Accepted: 2, Announced: 1, Repaired: 1, WithdrawnMalformed: 2, Discarded: 3,
			LastMalformed: "10.2.0.0/16: no ORIGIN",
		},
		Conditions: []Condition{{Kind: "open_tunnel", Interface: "site-b.1", Since: At(noon.Add(-90 * time.Second)), Tries: 1,
			Text: "cannot make the tunnel: site-b.1 is there already"}},
	}
	p.Tunnels = []PeerTunnel{
		{Tunnel: p.Tunnel, Share: 1, Carrying: true, BGP: p.BGP},
		{Tunnel: Tunnel{Transport: "wireguard", Interface: "site-b.1", State: "down", MTU: 1420, LastError: "site-b.1 is there already"},
			Link: 1, BGP: BGP{ASN: 64513, State: "idle"}},
	}
	return p
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", path, got, want)
	}
}

func TestTable(t *testing.T) {
	for name, s := range map[string]Status{
		"table.txt": example(),
		"empty.txt": {Router: Router{Name: "site-a", ASN: 64512, RouterID: "10.0.0.1", Version: "1.0"}},
	} {
		var b strings.Builder
		if err := Table(&b, s); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(b.String(), "\x1b\u202e") {
			t.Errorf("control characters reach the terminal: %q", b.String())
		}
		golden(t, name, b.String())
	}
}

func TestJSON(t *testing.T) {
	b, err := json.MarshalIndent(example(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "status.json", string(b)+"\n")

	var back Status
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	want := example()
	want.Peers[0].Tunnel.RTT = Millis(412 * time.Microsecond)
	want.Peers[0].Tunnels[0].RTT = want.Peers[0].Tunnel.RTT
	if !reflect.DeepEqual(back, want) {
		t.Errorf("read back:\n%+v\nwant\n%+v", back, want)
	}
}

func TestJSONIsNeverNull(t *testing.T) {
	for _, v := range []any{Status{}, &Status{}, ReloadResult{}, Status{Peers: []Peer{{}}}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "null") {
			t.Errorf("null in %s", b)
		}
	}
}

// The names of the design, as other tools read them.
func TestJSONNames(t *testing.T) {
	const design = `{"router":{"name":"site-a","asn":64512,"router_id":"10.0.0.1","version":"1","uptime_s":12,
	   "speaker":{"pid":0,"restarts":0,"last_error":""},"source":{"ipv4":"10.1.0.1","ipv6":"2001:db8:1::1"},"hints":[],
	   "conditions":[{"kind":"listen_tls","since":"2026-03-01T12:00:00Z","tries":1,"text":"w"}]},
	 "peers":[{"name":"site-b",
	   "tunnel":{"transport":"tls","interface":"site-b","state":"up","remote":"198.51.100.2:443","since":"2026-03-01T12:00:00Z","rtt_ms":0.4,
	             "mtu":1500,"rx_bytes":1,"tx_bytes":2,"rx_packets":3,"tx_packets":4,"drops":5,"last_error":"x","flaps":1,"last_reset":{"time":"2026-03-01T12:00:00Z","cause":"v"}},
	   "bgp":{"address":"fd00::2","asn":64513,"state":"established","since":"2026-03-01T12:00:00Z","received":2,"accepted":2,"announced":2,"last_error":"y",
	          "refused":1,"stale":1,"repaired":1,"withdrawn_malformed":2,"discarded":3,"looped":4,"looped_total":5,"withheld":6,"flaps":1,"last_reset":{"time":"2026-03-01T12:00:00Z","cause":"v"}},
	   "tunnels":[{"transport":"tls","interface":"site-b","state":"up","remote":"198.51.100.2:443","since":"2026-03-01T12:00:00Z","rtt_ms":0.4,
	             "mtu":1500,"rx_bytes":1,"tx_bytes":2,"rx_packets":3,"tx_packets":4,"drops":5,"last_error":"x","flaps":1,"last_reset":{"time":"2026-03-01T12:00:00Z","cause":"v"},"link":3,"share":0.25,"carrying":true,
	     "bgp":{"address":"fd00::2","asn":64513,"state":"established","since":"2026-03-01T12:00:00Z","received":2,"accepted":2,"announced":2,"last_error":"y",
	          "refused":1,"stale":1,"repaired":1,"withdrawn_malformed":2,"discarded":3,"looped":0,"looped_total":0,"withheld":0,"flaps":1,"last_reset":{"time":"2026-03-01T12:00:00Z","cause":"v"}}}],
	   "conditions":[{"kind":"open_tunnel","interface":"site-b","since":"2026-03-01T12:00:00Z","tries":2,"text":"z"}]}],
	 "fib":{"ipv4":1,"ipv6":1,"pending":1,"errors":1}}`
	var s Status
	if err := json.Unmarshal([]byte(design), &s); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(design), &want); err != nil {
		t.Fatal(err)
	}
	delete(got, "time") // ours in addition
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestMillis(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 412345: "0.412", 400 * time.Microsecond: "0.4", time.Second: "1000", 1500*time.Microsecond + 499: "1.5",
	} {
		b, err := json.Marshal(Millis(d))
		if err != nil || string(b) != want {
			t.Errorf("%v: %s, %v; want %s", d, b, err, want)
		}
	}
	var m Millis
	for _, bad := range []string{`"x"`, `1e300`, `null`} {
		if err := json.Unmarshal([]byte(bad), &m); err == nil {
			t.Errorf("%s was read as %v", bad, m)
		}
	}
}

func TestUnits(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1 << 20: "1.0 MiB", 1<<20 - 1: "1.0 MiB",
		999 << 10: "999 KiB", 1<<64 - 1: "16.0 EiB",
	} {
		if got := bytes(n); got != want {
			t.Errorf("bytes(%d) = %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m1s", 25 * time.Hour: "1d1h", 3601 * time.Second: "1h0m",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%v) = %s, want %s", d, got, want)
		}
	}
}
