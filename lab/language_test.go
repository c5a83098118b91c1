//go:build lab

package lab

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"warren/lab/topo"
)

// TestCommandsAreOurs makes sure that no command of a scenario has the name of
// one of testscript's own, which would be run instead: `stop`, for one, would
// end the scenario there and count it as passed.
func TestCommandsAreOurs(t *testing.T) {
	for _, builtin := range []string{
		"cd", "chmod", "cmp", "cmpenv", "cp", "env", "exec", "exists", "grep", "kill", "mkdir", "mv", "rm", "skip",
		"stderr", "stdin", "stdout", "stop", "symlink", "ttyin", "ttyout", "unix2dos", "unquote", "wait",
	} {
		if commands[builtin] != nil {
			t.Errorf("%s is a command of testscript's own: choose another name", builtin)
		}
	}
}

// TestCommandsWait makes sure that no scenario ends before its end, or looks once, with a command of
// testscript's own, at what a host shows: only what an `exec` on the machine itself
// printed is all there when it returns. And a sleep is never long enough.
func TestCommandsWait(t *testing.T) {
	files, err := filepath.Glob("scenarios/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		script, _, _ := strings.Cut("\n"+string(text), "\n-- ")
		for n, fault := range unsteady(script) {
			t.Errorf("%s:%d: %s", name, n, fault)
		}
	}
}

var guard = regexp.MustCompile(`^(\[[^]]*\] +)*`) // [condition]

var sleeps = regexp.MustCompile(`^(on|exec|bg|until) (\S+ )?sleep\b`)

// counts is a look at all answers of a ping, which does not wait for late ones.
var counts = regexp.MustCompile(`(^| )on \S+ ping (.* )?-c ([2-9]|\d\d).*[ '(|]0% packet loss`)

// unsteady returns what is wrong with a script, by line.
func unsteady(script string) map[int]string {
	faults := map[int]string{}
	before := ""
	for n, line := range strings.Split(script, "\n") {
		line = strings.TrimPrefix(guard.ReplaceAllString(strings.TrimSpace(line), ""), "! ")
		word, _, _ := strings.Cut(line, " ")
		switch word {
		case "", "#":
			continue
		case "stop":
			faults[n] = "stop ends the scenario here, as if it had passed: use terminate"
			continue
		case "stdout", "stderr", "cmp", "cmpenv", "grep", "exists":
			if before != "exec" {
				faults[n] = word + " looks once at what may come later: use until, holds, or conditions of on and reload"
			}
			continue
		}
		if sleeps.MatchString(line) {
			faults[n] = "a sleep: wait for what it is to bring about, with until, or say what holds meanwhile"
		}
		if counts.MatchString(line) {
			faults[n] = "ping does not wait for late answers: use pings"
		}
		before = word
	}
	return faults
}

// TestCommandsUnsteady: what the two checks of scenarios find.
func TestCommandsUnsteady(t *testing.T) {
	for script, faulty := range map[string]bool{
		"on a warren reload\nstdout x":                              true,
		"on a warren reload\n! stdout x":                            true,
		"until a warren status -- x\n\n# y\nstdout x":               true,
		"kill9 a\n! grep x file":                                    true,
		"on a sleep 1":                                              true,
		"on a warren reload\n[users] ! stdout x":                    true,
		"exec sleep 1":                                              true,
		"on a true\nstop a":                                         true,
		"on a ping -c 20 ::1 -- ' 0% packet loss'":                  true,
		"each a on @ ping -c 20 x -- '20 received, 0% packet loss'": true,
		"exec stat x\nstdout y\n! stdout z":                         false,
		"on a warren reload -- x":                                   false,
		"until a sh -c 'sleep 1; ip link' -- x\ncp a b":             false,
		"! exec false\nstderr x\nholds 1s a ip link -- x":           false,
	} {
		if got := unsteady(script); len(got) > 0 != faulty {
			t.Errorf("%q: %v", script, got)
		}
	}
	for line, refused := range map[string]bool{
		"warren status": true, "ip route show": true, "ip -6 route get ::1": true, "ip rule": true, "ss -tln": true, "wg show wg0": true,
		"nft list ruleset": true, "birdc -s x show route": true, "bgpctl -s x show": true, "vtysh -c show\\ bgp": true, "cat x": true,
		"gobgp neighbor": true, "gobgp neighbor add x": false, "ip link set x up": false, "ip -6 route add x": false, "ip addr del x": false,
		"warren reload": false, "wg set x": false, "birdc -s x disable y": false, "nft -f x": false, "ping x": false,
	} {
		if got := (call{args: strings.Fields(line)}).looks(); got != refused {
			t.Errorf("%q: looks %v", line, got)
		}
	}
}

// TestCommandsConditions: all conditions are about one output, and a command without any
// is to succeed.
func TestCommandsConditions(t *testing.T) {
	topology, err := topo.New(t.Context(), "lab")
	if err != nil {
		t.Fatal(err)
	}
	defer topology.Close()
	s := &scenario{topo: topology, hosts: map[string]*topo.Host{}}
	if err := addHost(s, nil, false, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		ok   bool
	}{
		{[]string{"a", "echo", "one two"}, true},
		{[]string{"a", "false"}, false},
		{[]string{"a", "echo", "one two", "--", "^one", "--", "two$", "-!", "three"}, true},
		{[]string{"a", "echo", "one two", "--", "^one", "--", "three"}, false},
		{[]string{"a", "echo", "one two", "-!", "one", "--", "two"}, false},
		{[]string{"a", "sh", "-c", "echo one; exit 1", "--", "one"}, true},
		{[]string{"b", "true"}, false},
	} {
		c, err := parseCall(tc.args)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.check(t.Context(), s); (err == nil) != tc.ok {
			t.Errorf("%q: %v", tc.args, err)
		}
	}
	for _, args := range [][]string{{"a"}, {"a", "--", "x"}, {"a", "b", "--", "("}} {
		if _, err := parseCall(args); err == nil {
			t.Errorf("%q is a call", args)
		}
	}
}
