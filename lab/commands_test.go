//go:build lab

package lab

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"warren/lab/topo"
)

// A scenario is the network of one script. Only its script's goroutine uses it.
type scenario struct {
	topo    *topo.Topology
	work    string
	hosts   map[string]*topo.Host
	links   map[string]*topo.Link
	daemons map[string]*topo.Process // by host
	other   []*topo.Process
	sites   *topo.TwoSites

	homes        map[string]*home  // by host; those of hosts that have one
	fingerprints map[string]string // that README's keygen printed, by host
}

type scenarioKey struct{}

type command func(s *scenario, ts *testscript.TestScript, neg bool, args []string) error

// commands of a scenario, beyond testscript's own. DURATION is as in Go.
//
//	two-sites [rp-filter]       the picture of topo.TwoSites
//	host NAME [router]          one more host
//	connect A:IF ADDR[,ADDR] B:IF ADDR[,ADDR]    a link, named "A-B"
//	route HOST PREFIX VIA       a static route; with !, not any more
//	masquerade HOST IF          NAT for what leaves through the interface
//	keygen HOST                 `warren keygen -d $WORK/HOST`; sets $FINGERPRINT_<HOST> and $PUBLIC_KEY_<HOST>
//	start HOST                  fills in variables in $WORK/HOST's config, then `warren run`
//	start-to HOST FILE          the same, standard error going to FILE, such as a FIFO
//	hup HOST                    SIGHUP
//	terminate HOST | kill9 HOST      SIGTERM and wait | SIGKILL and wait
//	config HOST FROM            puts file FROM of the script in place as HOST's config (peers.d/…: HOST/peers.d/X)
//	reload HOST                 `warren reload`; [!] says that it must fail
//	on HOST CMD...              runs CMD there; `warren` gets the host's -c
//	bg HOST CMD...              the same in the background, until the scenario ends
//	within DURATION HOST CMD... -- REGEXP   runs CMD again and again until its output matches
//	within DURATION HOST CMD... -! REGEXP   … until it does not
//	holds DURATION HOST CMD... -- REGEXP    the output matches all that time (-! : does not)
//	cut LINK | blackhole LINK | heal LINK
//	log HOST REGEXP             the daemon's log has (or, with !, has not) a matching line
//	running HOST                the daemon has not died
//	readme HEADING [HEADING]    types a section of README.md, with the files of another one where it has them
var commands = map[string]func(*testscript.TestScript, bool, []string){
	"two-sites":  do(twoSites),
	"host":       do(addHost),
	"connect":    do(connect),
	"route":      do(route),
	"masquerade": do(masquerade),
	"keygen":     do(keygen),
	"start":      do(start),
	"start-to":   do(startTo),
	"hup":        do(hup),
	"terminate":  do(terminate),
	"kill9":      do(kill9),
	"config":     do(putConfig),
	"reload":     do(reload),
	"on":         do(on),
	"bg":         do(background),
	"within":     do(within),
	"holds":      do(holds),
	"cut":        do(cut),
	"blackhole":  do(blackhole),
	"heal":       do(heal),
	"log":        do(logHas),
	"running":    do(running),
	"readme":     do(readme),
}

func do(c command) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		s := ts.Value(scenarioKey{}).(*scenario)
		if err := c(s, ts, neg, args); err != nil {
			s.dump(ts)
			ts.Fatalf("%v", err)
		}
	}
}

// dump shows the daemons' logs with a failure: what they say is usually why.
func (s *scenario) dump(ts *testscript.TestScript) {
	for name, p := range s.daemons {
		ts.Logf("--- log of %s ---\n%s", name, tail(p.Log(), 60))
	}
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (s *scenario) stopAll() {
	for _, p := range s.other {
		p.Signal(syscall.SIGKILL)
	}
	for _, p := range s.daemons {
		p.Kill9()
	}
}

func (s *scenario) host(name string) (*topo.Host, error) {
	if h := s.hosts[name]; h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("there is no host %q", name)
}

func (s *scenario) configFile(host string) string {
	return filepath.Join(s.work, host, "warren.toml")
}

func need(args []string, n int, usage string) error {
	if len(args) < n {
		return fmt.Errorf("usage: %s", usage)
	}
	return nil
}
