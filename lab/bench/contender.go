package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"warren/lab/topo"
)

const (
	nameBare            = "bare-veth"
	nameSealing         = "sealing-relay"
	nameWarren          = "warren"
	nameWarrenWireGuard = "warren-wireguard"
	nameWireGuard       = "wireguard-go"
	nameOpenVPN         = "openvpn-udp"
	nameOpenVPNTCP      = "openvpn-tcp"
)

// contender is one way to join the two ends of a pair.
type contender interface {
	// name is its key in flags and JSON, title what people read.
	name() string
	title() string
	// version says which release is measured.
	version(ctx context.Context) (string, error)
	// binary is the file it needs in the directory of binaries, "" for none.
	binary() string
	// prepare makes keys and configurations; it does not count as starting.
	prepare(ctx context.Context, p *pair) error
	// start starts both ends and does not wait for them to meet. The session
	// it returns is stopped also if there is an error.
	start(ctx context.Context, p *pair) (*session, error)
}

// session is a contender that runs.
type session struct {
	// addrB is the address of end B to which traffic from end A goes.
	addrB string
	// ends are the tunnel's processes, one at A and one at B, or none.
	ends []*topo.Process
	// tcpPort is the port on the underlay of a tunnel over TCP, otherwise 0.
	tcpPort int
}

// stop ends the processes.
func (s *session) stop(ctx context.Context) error {
	if s == nil {
		return nil
	}
	for _, p := range s.ends {
		if err := p.Stop(ctx); err != nil {
			return fmt.Errorf("%w\nits log:\n%s", err, p.Log())
		}
	}
	return nil
}

// contenders lists all of them in the order in which they take turns.
func contenders(bin string) []contender {
	return []contender{
		bare{},
		&sealing{},
		&warren{bin: bin, transport: transportTLS},
		&warren{bin: bin, transport: transportWireGuard},
		&openVPN{proto: "udp"},
		&openVPN{proto: "tcp"},
		&wireGuard{bin: bin},
	}
}

// named has a name, by which -only chooses it.
type named interface{ name() string }

// choose keeps those in a comma-separated list; an empty list keeps all.
func choose[C named](all []C, only string) ([]C, error) {
	if only == "" {
		return all, nil
	}
	var chosen []C
	for _, want := range strings.Split(only, ",") {
		i := slices.IndexFunc(all, func(c C) bool { return c.name() == want })
		if i < 0 {
			return nil, fmt.Errorf("no contender %q: want some of %s", want, strings.Join(names(all), ","))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func names[C named](all []C) []string {
	var out []string
	for _, c := range all {
		out = append(out, c.name())
	}
	return out
}

func contains(all []contender, name string) bool { return slices.Contains(names(all), name) }
