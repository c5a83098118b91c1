package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"warren/internal/history"
	"warren/internal/status"
)

// status --check ends with what scripts and monitoring understand; a peer is shown with its history.
func TestStatusOfAPeerAndCheck(t *testing.T) {
	dir, err := os.MkdirTemp("", "st") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file, socket := filepath.Join(dir, "warren.toml"), filepath.Join(dir, "s")
	if err := os.WriteFile(file, []byte(fmt.Sprintf("[api]\nsocket = %q\n", socket)), 0o600); err != nil {
		t.Fatal(err)
	}
	ends := func(want int, says string, args ...string) {
		t.Helper()
		code, stdout, stderr := run(t, append(args, "-c", file)...)
		if code != want || !strings.Contains(stdout+stderr, says) {
			t.Errorf("warren %v: exit %d, %q, %q", args, code, stdout, stderr)
		}
	}
	ends(exitNobody, "warren is not running", "status", "--check")
	ends(exitFailed, "warren is not running", "status", "site-b")
	ends(exitFailed, "warren is not running", "history")
	ends(2, "WARREN CRITICAL - warren is not running (nobody listens at ", "status", "--plugin")
	healthcheck := imageHealthcheck(t)
	ends(exitFailed, "warren is not running", healthcheck...) // 2 means something else to Docker
	ends(3, "WARREN UNKNOWN - --critical: there is no figure \"rt\"; there are peers, down, rtt, ", "status", "--plugin", "--critical", "rt=1")

	up := status.PeerTunnel{Tunnel: status.Tunnel{State: "up"}, BGP: status.BGP{State: "established"}}
	down := status.PeerTunnel{Tunnel: status.Tunnel{State: "connecting", LastError: "no answer"}}
	log := history.New(nil)
	log.Add(history.Event{Kind: history.TunnelDown, Peer: "site-c", Cause: "it was cut"})
	peers := []status.Peer{{Name: "site-b", Tunnels: []status.PeerTunnel{up}}, {Name: "site-c", Tunnels: []status.PeerTunnel{down}}}
	server, err := status.New(status.Config{
		Socket: socket, History: log,
		Source: func(context.Context) (status.Status, error) { return status.Status{Peers: peers}, nil },
		Reload: func(context.Context, int64) (status.ReloadResult, error) { return status.ReloadResult{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Run(t.Context()) }()
	<-server.Ready()
	ends(0, "site-c", healthcheck...)
	ends(exitFailed, "site-c: tunnel: connecting: no answer\n", "status", "--check")
	ends(0, "all is well", "status", "--check", "site-b")
	ends(exitUsage, `there is no peer "site-x"; there are: site-b, site-c`, "status", "--check", "site-x")
	ends(2, "WARREN CRITICAL - site-c: tunnel: connecting: no answer | peers=1;;0;0;2 down=1;0;;0 ", "status", "--plugin")
	ends(2, "WARREN CRITICAL - site-c: tunnel: connecting: no answer | peers=1;;0;0;2 down=1;0;;0 ", "status", "--check", "--plugin")
	ends(1, "WARREN WARNING - site-c: tunnel: connecting: no answer | peers=1;;1;0;2 down=1;0;;0 ", "status", "--plugin", "--critical", "peers=1")
	ends(0, "WARREN OK - sessions with 1 of 1 peers | peers=0;;0;0;1 down=0;0;;0 prefixes=0;;;0 flaps=0;;;0\n", "status", "--plugin", "site-b")
	ends(1, "WARREN WARNING - site-b: prefixes 0 (threshold 1:) | ", "status", "--plugin", "--warning", "prefixes=1:", "site-b")
	ends(3, "WARREN UNKNOWN - there is no peer \"site-x\"; there are: site-b, site-c", "status", "--plugin", "site-x")
	ends(3, "WARREN UNKNOWN - --warning: \"100\" is no threshold: write FIGURE=RANGE", "status", "--plugin", "--warning", "100")
	ends(exitUsage, `there is no peer "site-x"`, "status", "site-x")
	ends(exitUsage, `there is no peer "site-x"`, "history", "site-x")
	ends(0, "it was cut", "status", "site-c")
	ends(0, `"cause": "it was cut"`, "status", "--json", "site-c")
	ends(0, "tunnel_down  it was cut", "history", "site-c")
	ends(0, `"event":"tunnel_down","peer":"site-c","cause":"it was cut"`, "history", "--json", "--since", "1h")
}

// imageHealthcheck is how a container's runtime asks whether the daemon in it is healthy, without the program. What asks so
// may start a container again that is not, so that a peer that is away must not make it so.
func imageHealthcheck(t *testing.T) (args []string) {
	t.Helper()
	data, err := os.ReadFile("../../packaging/container/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^HEALTHCHECK .* CMD (\[.*\])$`).FindSubmatch(data)
	if m == nil {
		t.Fatal("the image has no HEALTHCHECK")
	}
	if err := json.Unmarshal(m[1], &args); err != nil || len(args) < 2 || args[0] != "/usr/bin/warren" {
		t.Fatalf("HEALTHCHECK %s: %v", m[1], err)
	}
	return args[1:]
}
