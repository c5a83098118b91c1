package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bgpjudge "warren/bgp/judge"
	"warren/internal/config"
	"warren/lab/topo"
)

// TestFullTable reads the feeder's bytes as Warren does those of a peer.
func TestFullTable(t *testing.T) {
	const n = 3*perWithdrawal + 5 // neither six nor a thousand divides it
	router := netip.MustParseAddr(routerID)
	s := bgpjudge.New(bgpjudge.Config{LocalASN: fullRouterASN, PeerASN: fullFeederASN, RouterID: router,
		Policy: bgpjudge.Policy{Accept: func(netip.Prefix) bool { return true }}})
	s.ToPeer(nil, append(openMessage(fullRouterASN, router), keepaliveMessage()...))
	feed := func(b []byte) bgpjudge.Counts {
		t.Helper()
		if _, err := s.FromPeer(nil, b); err != nil {
			t.Fatal(err)
		}
		return s.Counts()
	}
	feed(append(openMessage(fullFeederASN, feederAddr), keepaliveMessage()...))
	if !s.Established() || !s.Negotiated()[bgpjudge.IPv4] || s.Negotiated()[bgpjudge.IPv6] {
		t.Fatalf("established %v, families %v; want IPv4 alone", s.Established(), s.Negotiated())
	}

	faultless := func(c bgpjudge.Counts, accepted int) {
		t.Helper()
		if got := c.Families[bgpjudge.IPv4]; got.Accepted != accepted || got.Received != accepted {
			t.Fatalf("%+v, want %d accepted", c, accepted)
		}
	}
	faultless(feed(fullTable(n, feederAddr)), n)
	if !s.EndOfRIB()[bgpjudge.IPv4] {
		t.Error("no End-of-RIB")
	}
	for i, want := range map[int]bool{0: true, n - 1: true, n: false} {
		if got := s.Accepted(fullPrefix(i)); got != want {
			t.Errorf("prefix number %d, %v: accepted %v", i, fullPrefix(i), got)
		}
	}
	faultless(feed(appendWithdrawal(nil, 7, 8)), n-1)
	if s.Accepted(fullPrefix(7)) {
		t.Errorf("%v was withdrawn, and is there", fullPrefix(7))
	}
	faultless(feed(appendAnnouncement(nil, 7, 8, feederAddr)), n)
	faultless(feed(fullWithdrawal(n)), 0)
}

func TestFullPrefixes(t *testing.T) {
	for i, want := range map[int]string{0: "16.0.0.0/24", 256: "16.1.0.0/24", 1_000_000 - 1: "31.66.63.0/24"} {
		if got := fullPrefix(i).String(); got != want {
			t.Errorf("number %d is %s, want %s", i, got, want)
		}
	}
	if last := fullPrefix(maxPrefixes - 1); !last.Addr().Less(netip.MustParseAddr("100.64.0.0")) {
		t.Errorf("the last prefix, %v, is for other uses", last)
	}
}

// TestFullConfigurationIsValid keeps the file in step with what warren takes.
func TestFullConfigurationIsValid(t *testing.T) {
	r := &topo.Warren{Dir: filepath.Join(t.TempDir(), "router")} // the test's own has the mode that the umask gives it
	if err := os.MkdirAll(filepath.Join(r.Dir, "peers.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := configureFull(r, 12345); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(r.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Peers) != 1 || c.Peers[0].BGP.MaxPrefixes != 12345 {
		t.Errorf("%+v", c.Peers)
	}
}

// TestScan has routes come out of order: the scan's end is not before the last is there.
func TestScan(t *testing.T) {
	const n = 5
	there := map[netip.Prefix]bool{}
	s := &scan{has: func(p netip.Prefix) bool { return there[p] }, prefixes: n, present: true}
	for _, i := range []int{n - 1, 0, 2, 3, 1} {
		if s.look() == nil {
			t.Fatalf("all there before number %d", i)
		}
		there[fullPrefix(i)] = true
	}
	if err := s.look(); err != nil {
		t.Error(err)
	}
	gone := &scan{has: s.has, prefixes: n}
	for _, i := range []int{4, 3, 2, 1, 0} {
		if gone.look() == nil {
			t.Fatalf("all gone before number %d", i)
		}
		delete(there, fullPrefix(i))
	}
	if err := gone.look(); err != nil {
		t.Error(err)
	}
}

// sampleFullReport has round figures, and is one of a whole run.
func sampleFullReport() *fullReport {
	r := &fullReport{Rounds: 3, Prefixes: fullSize, RestS: fullRest.Seconds()}
	for _, c := range []struct {
		name, title string
		rounds      []sample
	}{
		{nameWarren, "Warren", []sample{{fullFill: 14, fullPeakRSS: 1300, fullRestRSS: 301, fullChange: 0.5, fullChangeCPU: 5},
			{fullFill: 20, fullPeakRSS: 1300}, {fullFill: 16, fullPeakRSS: 1300}}},
		{nameBIRD, "BIRD", []sample{{fullFill: 8, fullChange: 100}, {fullFill: 8}, {fullFill: 8}}},
		{nameFRR, "FRR", []sample{{fullFill: 10, fullPeakRSS: 1000}, {fullFill: 10, fullPeakRSS: 1000}, {fullFill: 16, fullPeakRSS: 1000}}},
		{nameGoBGPD, "gobgpd, no kernel", []sample{{fullFill: 11}, {fullFill: 11}, {fullFill: 11}}},
	} {
		r.Routers = append(r.Routers, result{Name: c.name, Title: c.title, Version: c.name + " 1.2", Rounds: c.rounds, Median: medians(c.rounds)})
	}
	r.Targets = judgeFull(r.Routers)
	return r
}

func TestFullReport(t *testing.T) {
	r := sampleFullReport()
	markdown := r.document().markdown()
	for _, want := range []string{
		"- FRR: frr 1.2\n",
		"## Full table of 1000000 IPv4 prefixes (rounds: 3)\n",
		"|  | Warren | BIRD | FRR | gobgpd, no kernel | Warren, of FRR | Warren, of BIRD |\n",
		// The rounds' ratios to FRR are 1.4, 2 and 1, to BIRD 1.75, 2.5 and 2.
		"| first UPDATE to last route, s | 16.0 | 8.00 | 10.0 | 11.0 | 1.40 | 2.00 |\n",
		"| one changed prefix to the kernel, ms | 0.500 | 100 | – | – | – | 0.005 |\n",
		"| first UPDATE to last route, times FRR's | at most 1.4 | 1.40 | met |\n",
		"| memory, peak, times FRR's | at most 1.3 | 1.30 | met |\n",
		"| memory after withdrawal of all, MB | at most 300 | 301 | missed |\n",
		"| processor time of one changed prefix, ms | at most 5 | 5.00 | met |\n",
		"median of 50 withdrawals", "resident 60 s later",
	} {
		if !strings.Contains(markdown, want) {
			t.Errorf("the Markdown lacks %q:\n%s", want, markdown)
		}
	}
	for _, want := range []string{"FRR: frr 1.2", "16.0", "missed"} {
		if !strings.Contains(r.document().text(), want) {
			t.Errorf("the terminal's table lacks %q:\n%s", want, r.document().text())
		}
	}
	if want := "| first UPDATE to last route, s | **16.0** | 8.00 |"; !strings.Contains(r.short(), want) {
		t.Errorf("the README's table lacks %q:\n%s", want, r.short())
	}

	r.Routers = r.Routers[1:]
	if got := judgeFull(r.Routers); len(got) != 0 {
		t.Errorf("targets without Warren: %+v", got)
	}
	if strings.Contains(r.document().markdown(), "Warren, of") {
		t.Errorf("multiples of what was not measured:\n%s", r.document().markdown())
	}
}

func TestFullReportIsComplete(t *testing.T) {
	if !sampleFullReport().complete() {
		t.Error("a whole run is not complete")
	}
	for name, spoil := range map[string]func(*fullReport){
		"fewer prefixes": func(r *fullReport) { r.Prefixes-- },
		"less rest":      func(r *fullReport) { r.RestS-- },
		"a round":        func(r *fullReport) { r.Rounds++ },
		"a router":       func(r *fullReport) { r.Routers = r.Routers[:3] },
	} {
		r := sampleFullReport()
		if spoil(r); r.complete() {
			t.Errorf("%s: complete all the same", name)
		}
	}
}

// TestFullReadme writes the short form between markers of its own.
func TestFullReadme(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	const before = "<!-- bench:begin -->\nfigures of tunnels\n<!-- bench:end -->\n<!-- bench-table:begin -->\n"
	const after = "<!-- bench-table:end -->\nprose\n"
	if err := os.WriteFile(path, []byte(before+"old figures\n"+after), 0o600); err != nil {
		t.Fatal(err)
	}
	r := sampleFullReport()
	if err := fullSection.write(path, r.complete(), r.short); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if text := string(b); err != nil || text != before+r.short()+after {
		t.Errorf("%v: not between the markers:\n%s", err, text)
	}
}

// TestReadmeHasSections is about the real one: a bench that finds no markers says so at its end.
func TestReadmeHasSections(t *testing.T) {
	for _, s := range []section{tunnelSection, fullSection} {
		if err := s.check("../../README.md"); err != nil {
			t.Error(err)
		}
	}
}

func TestBenchFullRefuses(t *testing.T) {
	good := options{rounds: 1, prefixes: 1, rest: time.Second, only: "no such router"}
	for name, c := range map[string]struct {
		spoil func(*options)
		want  string
	}{
		"a router that there is not": {func(*options) {}, "warren,bird,frr,gobgpd"},
		"no round":                   {func(o *options) { o.rounds = 0 }, "-rounds"},
		"too many prefixes":          {func(o *options) { o.prefixes = maxPrefixes + 1 }, "-prefixes from 1 to 5000000"},
	} {
		o := good
		c.spoil(&o)
		if err := benchFull(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}
