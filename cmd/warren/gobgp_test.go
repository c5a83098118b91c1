package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"warren/internal/config"
	"warren/internal/status"
)

// The command gets the address that the config has, and neighbors' addresses for peers' names.
func TestGobgpArguments(t *testing.T) {
	d := newWatched(t)
	up := func(address string) status.PeerTunnel {
		return status.PeerTunnel{Tunnel: status.Tunnel{State: "up"}, BGP: status.BGP{Address: address}}
	}
	d.is = status.Status{Peers: []status.Peer{
		{Name: "site-b", Tunnels: []status.PeerTunnel{up("fd00::b"), up("fe80::b1%site-b.1")}},
		{Name: "site-c", Tunnels: []status.PeerTunnel{{Tunnel: status.Tunnel{State: "connecting"}}}},
	}}
	const at = "gobgp --host 127.0.0.1 --port 50051 "
	if _, err := gobgpArgv(t.Context(), []string{"neighbor", "site-b", "-c", d.file}); err == nil || !strings.Contains(err.Error(), "warren is not running") {
		t.Errorf("without a daemon: %v", err)
	}
	for args, want := range map[string]string{"neighbor": at + "neighbor", "neighbor 10.0.0.1": at + "neighbor 10.0.0.1"} {
		argv, err := gobgpArgv(t.Context(), append(strings.Fields(args), "-c", d.file))
		if got := strings.Join(argv, " "); got != want || err != nil {
			t.Errorf("without a daemon, %s: %q, %v", args, got, err)
		}
	}
	d.start(t)
	for args, want := range map[string]string{
		"":                                     strings.TrimSpace(at),
		"neighbor site-b":                      at + "neighbor fd00::b",
		"nei site-b/1 adj-in -a ipv6":          at + "nei fe80::b1%site-b.1 adj-in -a ipv6",
		"-j neighbor -a ipv6 site-b adj-out":   at + "-j neighbor -a ipv6 fd00::b adj-out",
		"neighbor -a=ipv6 site-b":              at + "neighbor -a=ipv6 fd00::b",
		"monitor neighbor site-b":              at + "monitor neighbor fd00::b",
		"monitor adj-in site-b --current":      at + "monitor adj-in fd00::b --current",
		"global rib site-b":                    at + "global rib site-b",
		"neighbor add 10.0.0.1 as 1":           at + "neighbor add 10.0.0.1 as 1",
		"neighbor fe80::1%eth0":                at + "neighbor fe80::1%eth0",
		"--help":                               at + "--help",
		"-u 10.0.0.9 neighbor site-b":          "gobgp -u 10.0.0.9 neighbor fd00::b",
		"neighbor site-b --target=unix:/x":     "gobgp neighbor fd00::b --target=unix:/x",
		"policy neighbor site-b":               at + "policy neighbor site-b",
		"neighbor -- site-b":                   at + "neighbor -- fd00::b",
		"neighbor --reason site-b site-b down": at + "neighbor --reason site-b fd00::b down",
	} {
		for _, c := range [][]string{{"-c", d.file}, {"--config=" + d.file}, {"-c" + d.file}} {
			argv, err := gobgpArgv(t.Context(), append(slices.Clone(c), strings.Fields(args)...))
			if got := strings.Join(argv, " "); got != want || err != nil {
				t.Errorf("%s: %q, %v", args, got, err)
			}
		}
	}
	for args, want := range map[string]string{
		"neighbor site-x": `there is no peer "site-x"; there are: site-b, site-c`, "neighbor site-c": "its tunnel is connecting", "neighbor -c": "flag needs an argument",
	} {
		if code, _, stderr := run(t, append([]string{"gobgp", "-c", d.file}, strings.Fields(args)...)...); code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %q", args, code, stderr)
		}
	}
}

func TestGobgpTarget(t *testing.T) {
	for api, want := range map[string]string{
		"127.0.0.1:50051": "--host 127.0.0.1 --port 50051", "[::1]:9": "--host ::1 --port 9", "unix:/run/warren/gobgp.sock": "--target unix:///run/warren/gobgp.sock",
	} {
		if got, err := gobgpTarget(config.API{Gobgp: api}); strings.Join(got, " ") != want || err != nil {
			t.Errorf("%s: %v, %v", api, got, err)
		}
	}
	if _, err := gobgpTarget(config.API{}); err == nil || !strings.Contains(err.Error(), "[api] gobgp") {
		t.Errorf("turned off: %v", err)
	}
}

// The command is found where the build and where packages put it.
func TestGobgpOf(t *testing.T) {
	root := t.TempDir()
	warren := filepath.Join(root, "bin", "warren")
	libexec, beside := filepath.Join(root, "libexec", "warren", "gobgp"), filepath.Join(root, "bin", "gobgp")
	if got := gobgpOf(warren); got != "" {
		t.Errorf("%q, and there is none", got)
	}
	for _, want := range []string{libexec, beside} {
		if err := os.MkdirAll(filepath.Dir(want), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(want, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		if got := gobgpOf(warren); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
