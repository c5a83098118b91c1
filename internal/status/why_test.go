package status

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// A question reaches the daemon as it was meant, and so does its answer. One about a peer that there is not
// is told from other failures.
func TestWhyIsAsked(t *testing.T) {
	socket := socketPath(t)
	var asked WhyQuestion
	start(t, Config{Socket: socket, Why: func(_ context.Context, q WhyQuestion) (Why, error) {
		asked = q
		if q.To == "nobody" {
			return Why{}, fmt.Errorf("%q: %w", q.To, ErrNoPeer)
		}
		return Why{Prefix: q.Of.String(), AnnouncedTo: []string{"c"}}, nil
	}})
	y, err := GetWhy(t.Context(), socket, "10.2.0.7", "b", "c")
	if want := (WhyQuestion{Of: netip.MustParsePrefix("10.2.0.7/32"), Address: true, From: "b", To: "c"}); err != nil || asked != want || y.Prefix != "10.2.0.7/32" {
		t.Errorf("asked %+v, answered %+v, %v", asked, y, err)
	}
	if _, err := GetWhy(t.Context(), socket, "10.2.0.7/32", "", ""); err != nil || asked.Address {
		t.Errorf("a prefix of one address: asked %+v, %v", asked, err)
	}
	if _, err := GetWhy(t.Context(), socket, "10.2.0.0/16", "", "nobody"); !errors.Is(err, ErrNoPeer) || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("a peer that there is not: %v", err)
	}
	if _, err := GetWhy(t.Context(), socket, "10.2.0.1/16", "", ""); err == nil || errors.Is(err, ErrNoPeer) {
		t.Errorf("no prefix: %v", err)
	}
}

// Nothing that a terminal acts on gets to it, whatever it is in.
func TestWhyTableIsClean(t *testing.T) {
	bad := "x\x1b[2J\n\r"
	var b strings.Builder
	err := WhyTable(&b, Why{
		Prefix: bad, Address: bad, Local: true, LocalBy: bad, Refused: []string{bad}, More: 1, AnnouncedTo: []string{bad},
		Candidates: []WhyCandidate{{Peer: bad, Interface: bad + "y", Verdict: bad, Reason: bad, By: bad, Origin: bad, ASPath: bad, NextHop: bad, Communities: []string{bad}}},
		Kernel:     WhyKernel{To: bad, Route: bad, Owner: bad, Tunnel: &WhyTunnel{Peer: bad, Transport: bad, State: bad, CarriedBy: bad, CarriedWhy: bad}}, NotAnnouncedTo: []WhyExport{{Peer: bad, Reason: bad, By: bad}},
	})
	if err != nil || strings.ContainsAny(strings.ReplaceAll(b.String(), "\n", ""), "\x1b\r") || strings.Count(b.String(), "\n") != 10 {
		t.Errorf("%q %v", b.String(), err)
	}
}
