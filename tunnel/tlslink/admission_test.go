package tlslink

import (
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAdmission: a peer without a link, whose certificate a CA signs, gets one by its name.
func TestAdmission(t *testing.T) {
	ca := newAuthority(t)
	hubCert := ca.issue(t, &x509.Certificate{DNSNames: []string{"hub"}})
	hub := newEnd(t, Config{Certificate: hubCert}, "")
	type asking struct {
		name string
		done func(error)
	}
	asked := make(chan asking, 16)
	hub.endpoint.SetAdmission(&Admission{
		CA: ca.pool, Matches: func(name string) bool { return strings.HasPrefix(name, "spoke") },
		Admit: func(name string, done func(error)) { asked <- asking{name, done} },
	})
	spoke := newEnd(t, Config{Certificate: ca.issue(t, &x509.Certificate{DNSNames: []string{"other", "Spoke1"}})}, "hub")
	spoke.start(pin(hubCert), hub.addr())
	a := <-asked
	if a.name != "spoke1" {
		t.Fatalf("%q asks", a.name)
	}
	hub.cfg.Name, hub.cfg.Assign = a.name, []netip.Addr{netip.MustParseAddr("10.100.100.25")}
	hub.start(Trust{CA: ca.pool, PeerName: a.name})
	a.done(nil)
	got, ev := hub.waitEvents(1)[0], spoke.waitEvents(1)[0]
	if !got.Up || got.Name != "spoke1" || !ev.Up || !slices.Equal(ev.Assigned, hub.cfg.Assign) || len(got.Assigned) > 0 {
		t.Errorf("%+v, %+v", got, ev)
	}
	// Once there is a link nobody is asked again.
	spoke.halt(nil)
	hub.waitEvents(2)
	spoke.start(pin(hubCert), hub.addr())
	hub.waitEvents(3)
	if len(asked) > 0 {
		t.Errorf("asked again: %+v", <-asked)
	}
}

// TestNoAdmission: strangers stay out, and a peer is told why it is not let in.
func TestNoAdmission(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	hubCert := ca.issue(t, &x509.Certificate{DNSNames: []string{"hub"}})
	expired := &x509.Certificate{DNSNames: []string{"spoke1"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}
	const refused = "the peer refused this router's certificate"
	for what, c := range map[string]struct {
		by           *authority
		cert         *x509.Certificate
		mayAsk       bool
		peer, reason string // what it is told, and why the hub refused it
	}{
		"other name": {ca, &x509.Certificate{DNSNames: []string{"mallory"}}, false, refused, `the CA vouches for "mallory", and no peer here has that name, nor is it among those that are accepted`},
		"other CA":   {other, &x509.Certificate{DNSNames: []string{"spoke1"}}, false, refused, "not signed by the configured CA"},
		"expired":    {ca, expired, false, refused, "expired"},
		"refused":    {ca, &x509.Certificate{DNSNames: []string{"spoke1"}}, true, "spoke1: there is no room", "there is no room"},
	} {
		t.Run(what, func(t *testing.T) {
			hub := newEnd(t, Config{Certificate: hubCert}, "")
			hub.endpoint.SetAdmission(&Admission{
				CA: ca.pool, Matches: func(name string) bool { return strings.HasPrefix(name, "spoke") },
				Admit: func(name string, done func(error)) {
					if !c.mayAsk {
						t.Errorf("%s asks", name)
					}
					done(errors.New("there is no room"))
				},
			})
			spoke := newEnd(t, Config{Certificate: c.by.issue(t, c.cert)}, "hub")
			spoke.start(pin(hubCert), hub.addr())
			poll(t, func() bool {
				list := hub.endpoint.Refusals(time.Time{})
				return strings.Contains(spoke.link.Status().LastError, c.peer) && len(list) > 0 && strings.Contains(list[0].Reason, c.reason)
			}, func() string { return spoke.link.Status().LastError })
		})
	}
}
