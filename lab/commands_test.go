//go:build lab

package lab

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"warren/lab/path"
	"warren/lab/topo"
)

// A scenario is the network of one script. Only its script's goroutine uses it.
type scenario struct {
	topo    *topo.Topology
	work    string
	hosts   map[string]*topo.Host
	links   map[string]*topo.Link
	paths   map[string]*path.Path    // by link
	daemons map[string]*topo.Process // by host
	ended   map[*topo.Process]bool   // daemons that the scenario has ended
	other   []*topo.Process
	sites   *topo.TwoSites

	homes        map[string]*home  // by host; those of hosts that have one
	fingerprints map[string]string // that README's keygen printed, by host
	invitation   string            // that README's invite printed
}

type scenarioKey struct{}

type command func(s *scenario, ts *testscript.TestScript, neg bool, args []string) error

// commands of a scenario, beyond testscript's own. DURATION is as in Go.
//
// To look at something is to wait for it: what a scenario asks for may come later on a
// busy machine, and nothing here looks once at it. CONDITIONS are about a command's
// output: `-- REGEXP` it matches, `-! REGEXP` it does not, all of them at once.
//
//	until HOST CMD... [CONDITIONS]       runs CMD again and again until the conditions are
//	                                     met, without any until it succeeds; see patience
//	within DURATION HOST CMD... [CONDITIONS]    the same where a promise names a time
//	holds DURATION HOST CMD... CONDITIONS       they are met all that time
//	log HOST REGEXP             waits until the daemon's log has a matching line; with !, it
//	                            has had none, and gets none for a second
//	running HOST                the daemon has not died; whoever waits, and the end of the
//	                            scenario, finds that out too
//
// `wg` deletes the socket of a wireguard-go that does not listen yet: wait for
// `ss -xlH -- /INTERFACE.sock` before its first use.
//
// What is done is done once, and has its result when it returns:
//
//	on HOST CMD... [CONDITIONS]     runs CMD, which must succeed, or with ! fail; `warren` gets
//	                                the host's -c. Commands that only look are refused.
//	reload HOST [CONDITIONS]        `warren reload`, likewise
//	pings HOST COUNT [OPTION...] ADDRESS    waits until each of ping's first COUNT echoes is answered, be it late
//	bg HOST CMD...                  runs CMD in the background, until the scenario ends
//	two-sites [rp-filter]           the picture of topo.TwoSites
//	host NAME [router]              one more host
//	connect A:IF ADDR[,ADDR] B:IF ADDR[,ADDR]    a link, named "A-B"
//	route HOST PREFIX VIA           a static route; with !, not any more
//	masquerade HOST IF              NAT for what leaves through the interface
//	keygen HOST                     `warren keygen -d $WORK/HOST`; sets $FINGERPRINT_<HOST> and $PUBLIC_KEY_<HOST>
//	start HOST                      fills in variables in $WORK/HOST's config, then `warren run`
//	start-v4 HOST                   the same, as on a kernel without IPv6
//	start-old HOST                  the same, as on Linux before 5.3, which has no next-hop objects
//	start-to HOST FILE              the same, standard error going to FILE, such as a FIFO
//	hup HOST                        SIGHUP
//	terminate HOST | kill9 HOST     SIGTERM and wait | SIGKILL and wait
//	config HOST FROM                puts file FROM of the script in place as HOST's config (peers.d/…: HOST/peers.d/X)
//	cut LINK | blackhole LINK | heal LINK
//	path LINK [from HOST] [seed N] CONDITION...    makes the link a path of the real world for what both ends send, or
//	                            HOST, from now on: `path wan-a delay 20ms rate 100mbit queue 50ms loss 1% burst 8 reorder 2%
//	                            late 10ms duplicate 1% mtu 1400 no-icmp no-fragments`, any of these (lab/path). What is not named is as
//	                            on the link itself, and so is all with `clear`. The log names the seed of the random choices.
//	path LINK [from HOST] has KIND...    waits until there were packets of each kind: lost, dropped, reordered, ...
//	readme [FILE.md] HEADING [HEADING]    types a section of README.md or another file, with the files of another one where it has them
//
//	each WORD[,WORD]... COMMAND...  does a command for each word, which takes the place of @ in it
var commands = map[string]func(*testscript.TestScript, bool, []string){
	"two-sites":  do(twoSites),
	"host":       do(addHost),
	"connect":    do(connect),
	"route":      do(route),
	"masquerade": do(masquerade),
	"keygen":     do(keygen),
	"start":      do(start),
	"start-v4":   do(startV4),
	"start-old":  do(startOld),
	"start-to":   do(startTo),
	"hup":        do(hup),
	"terminate":  do(terminate),
	"kill9":      do(kill9),
	"config":     do(putConfig),
	"reload":     do(reload),
	"on":         do(on),
	"pings":      do(pings),
	"bg":         do(background),
	"until":      do(until),
	"within":     do(within),
	"holds":      do(holds),
	"cut":        do(cut),
	"blackhole":  do(blackhole),
	"heal":       do(heal),
	"path":       do(setPath),
	"log":        do(logHas),
	"running":    do(running),
	"readme":     do(readme),
}

func init() { commands["each"] = do(each) } // which looks into commands

// each does one of the other commands several times.
func each(_ *scenario, ts *testscript.TestScript, _ bool, args []string) error {
	if err := need(args, 2, "each WORD[,WORD]... [!] COMMAND..."); err != nil {
		return err
	}
	words, args := strings.Split(args[0], ","), args[1:]
	neg := args[0] == "!"
	if neg {
		args = args[1:]
	}
	if len(args) == 0 || commands[args[0]] == nil {
		return fmt.Errorf("each: %q is no command", args)
	}
	for _, word := range words {
		one := make([]string, len(args)-1)
		for i, a := range args[1:] {
			one[i] = strings.ReplaceAll(a, "@", word)
		}
		ts.Logf("[each] %s", word)
		commands[args[0]](ts, neg, one)
	}
	return nil
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

// dump shows the daemons' logs with a failure, and those of what has ended in the
// background: what they say is usually why.
func (s *scenario) dump(ts *testscript.TestScript) {
	for name, p := range s.daemons {
		ts.Logf("--- log of %s ---\n%s", name, tail(p.Log(), 60))
	}
	for _, p := range s.other {
		if !p.Running() {
			ts.Logf("--- output of %s, which has ended ---\n%s", p, tail(p.Log(), 20))
		}
	}
	for name, p := range s.paths {
		ts.Logf("--- path %s ---\n%s", name, pathCounts(p))
	}
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// faults returns what is wrong with the daemons when the script is through.
func (s *scenario) faults() error {
	errs := []error{s.died()}
	for name, p := range s.daemons {
		if _, race, ok := strings.Cut(p.Log(), "WARNING: DATA RACE"); ok {
			errs = append(errs, fmt.Errorf("a data race on %s:%s", name, race))
		}
	}
	return errors.Join(errs...)
}

// died returns which daemons have ended by themselves.
func (s *scenario) died() error {
	var errs []error
	for name, p := range s.daemons {
		if !s.ended[p] && !p.Running() {
			errs = append(errs, fmt.Errorf("the daemon on %s has died:\n%s", name, tail(p.Log(), 60)))
		}
	}
	return errors.Join(errs...)
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
