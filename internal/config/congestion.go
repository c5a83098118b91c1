package config

import (
	"regexp"
	"slices"
)

// CongestionAuto leaves the congestion control to the tls transport: bbr, where the kernel gives
// that, else the kernel's default.
const CongestionAuto = "auto"

// congestionName is what the name of a congestion control may look like. The kernel cuts longer
// ones (TCP_CA_NAME_MAX in include/net/tcp.h), and asks for a module with the name in it.
var congestionName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

const maxCongestionName = 15

func (l *loader) congestion(v value[string], otherwise string) string {
	if v.state != given {
		return otherwise
	}
	if len(v.v) > maxCongestionName || !congestionName.MatchString(v.v) {
		l.fail(v.place, `%q is not a name of a congestion control; allowed are %q and names as in net.ipv4.tcp_available_congestion_control, such as "cubic"`,
			v.v, CongestionAuto)
	}
	return v.v
}

// setCongestion gives the router's congestion control to the tunnels over TLS that name none.
func (p *Peer) setCongestion(router string) {
	for i := range p.Tunnels {
		if t := &p.Tunnels[i]; t.OverTLS() && t.Congestion == "" {
			t.Congestion = router
		}
	}
}

// CheckCongestion asks for each congestion control that the files name whether the kernel gives
// it. What check says completes a sentence that the name begins. The error, if any, is an [Errors];
// there is none of a Config that was not loaded from files.
func (c *Config) CheckCongestion(check func(name string) error) error {
	if c.raw == nil {
		return nil
	}
	l := &loader{} // for its list of what was found
	asked := map[string]error{CongestionAuto: nil}
	ask := func(v value[string]) {
		if v.state != given || v.inherited {
			return
		}
		err, known := asked[v.v]
		if !known {
			err = check(v.v)
			asked[v.v] = err
		}
		if err != nil {
			l.fail(v.place, "%q %v", v.v, err)
		}
	}
	ask(c.raw.TLS.Congestion)
	for _, t := range slices.Concat(c.tunnels(), c.Accept.sample.tunnels()) {
		if l.peer = t.peer; t.OverTLS() {
			ask(t.raw.Congestion)
		}
	}
	if len(l.errs) == 0 {
		return nil
	}
	l.finish()
	return l.errs
}

// UsesAutoCongestion reports whether a tunnel leaves its congestion control to the transport, or one of a peer that is
// accepted would.
func (c *Config) UsesAutoCongestion() bool {
	uses := func(p Peer) bool {
		return slices.ContainsFunc(p.Tunnels, func(t Tunnel) bool { return t.Congestion == CongestionAuto })
	}
	return uses(c.Accept.sample) || slices.ContainsFunc(c.Peers, uses)
}
