package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// What Warren is measured with. The bounds of the configuration are those of this version.
const (
	failoverKeepalive = 20 * time.Millisecond
	failoverDeadAfter = 50 * time.Millisecond
)

const (
	cutFew      metric = "cut_few_gap_ms"
	cutMany     metric = "cut_many_gap_ms"
	cutMost     metric = "cut_most_gap_ms"
	linkDownGap metric = "link_down_gap_ms"
	returnLost  metric = "return_lost"
	returnGap   metric = "return_gap_ms"
	restartLost metric = "restart_lost"
	restartGap  metric = "restart_gap_ms"
	stopLost    metric = "stop_and_start_lost"
	stopGap     metric = "stop_and_start_gap_ms"
	killedGap   metric = "first_killed_gap_ms"
	oneWayGap   metric = "first_dead_one_way_gap_ms"
)

const failoverNotes = `Two hosts, A and B, and two providers between them, each a host that forwards; everything in network namespaces of one
machine. Warren has a tunnel over each provider, both with a BGP session. BIRD has the same over two wireguard-go
interfaces, with BFD each 50 ms, dead after three. OpenVPN has one tunnel, keepalive 1 3, and the addresses of both
providers in its list; its flow goes to the far end of the tunnel, as it carries no prefixes. A feeder behind B announces the
prefixes to B, which passes them on to A. Packets of 64 bytes, 1 ms apart, go from A to B's own network and to the first, the
middle and the last of the prefixes, and from B to A's network. A gap is the longest between two packets of one of those
flows that arrived, by the kernel's time stamps, and lost packets are those of the flow that lost most. In each round all
run one after the other, each started afresh. Figures are medians over the rounds. A process that gives way to all others
keeps the processors from halting.
`

// failoverSuite measures what becomes of packets when something fails.
func failoverSuite(o options, bin string) *suite {
	return &suite{
		name:  "failover",
		title: "Bench of failures",
		intro: fmt.Sprintf("What packets notice of a failure; Warren with keepalive %v and dead_after %v", o.keepalive, o.deadAfter),
		notes: failoverNotes + fmt.Sprintf("Warren has keepalive %v and dead_after %v.\n", o.keepalive, o.deadAfter),
		parts: []part{cutPart(o, bin), linkPart(o, bin), returnPart(o, bin), restartPart(o, bin), remotesPart(o, bin),
			alarmsPart(o, bin), spokesPart(o, bin)},
		choice: o.failover,
	}
}

// timers is Warren's configuration over a transport.
func (o options) timers(transport string) lineConfig {
	return lineConfig{transport: transport, keepalive: o.keepalive, deadAfter: o.deadAfter}
}

// forBoth makes a limit for Warren over either transport.
func forBoth(what string, key metric, most float64) []limit {
	return []limit{{nameWarren, "TLS: " + what, key, most}, {nameWarrenWireGuard, "WireGuard: " + what, key, most}}
}

// cutSize is a number of prefixes, and the figure of a cut with so many.
type cutSize struct {
	prefixes int
	gap      metric
}

func cutPart(o options, bin string) part {
	sizes := []cutSize{{2, cutFew}, {max(2, o.prefixes/100), cutMany}, {max(2, o.prefixes/2), cutMost}}
	p := part{
		name:  "cut",
		title: "A provider drops everything, without a word",
		note:  "The provider that carries more packets at that moment.\n",
		participants: redundantParticipants(o, bin, func(ctx context.Context, c redundant) (sample, error) {
			return cutTurn(ctx, c, sizes)
		}),
	}
	for _, size := range sizes {
		p.figures = append(p.figures, figure{size.gap, fmt.Sprintf("%d prefixes, gap, ms", size.prefixes)})
		p.limits = append(p.limits, forBoth(fmt.Sprintf("silent cut, %d prefixes, gap, ms%s", size.prefixes, o.detection()),
			size.gap, 30+millis(o.deadAfter))...)
	}
	return p
}

// cutTurn cuts a contender with each number of prefixes, started afresh; one without prefixes once.
func cutTurn(ctx context.Context, c redundant, sizes []cutSize) (sample, error) {
	s := sample{}
	if !c.routes() {
		sizes = sizes[:1]
	}
	for _, size := range sizes {
		err := withStanding(ctx, c, size.prefixes, func(ctx context.Context, st *standing) error {
			got, err := st.during(ctx, func() error { return st.cut(ctx, provider.silence) })
			s[size.gap] = got.gapMS
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("%d prefixes: %w", size.prefixes, err)
		}
	}
	return s, nil
}

// detection says how much of a gap goes to noticing.
func (o options) detection() string {
	return fmt.Sprintf(" (%s of them dead_after)", format(millis(o.deadAfter), -1))
}

func millis(d time.Duration) float64 { return float64(d) / 1e6 }

func linkPart(o options, bin string) part {
	size := max(2, o.prefixes/100)
	return part{
		name:    "link",
		title:   fmt.Sprintf("A's interface to a provider goes down, %d prefixes", size),
		note:    "The interface by which more packets leave at that moment. Warren's two tunnels are one peer's.\n",
		figures: []figure{{linkDownGap, "gap, ms"}},
		limits:  forBoth("underlay link down, gap, ms", linkDownGap, 20),
		participants: redundantParticipants(o, bin, func(ctx context.Context, c redundant) (sample, error) {
			if w, ok := c.(*redundantWarren); ok {
				one := *w
				one.config.onePeer = true
				c = &one
			}
			s := sample{}
			return s, withStanding(ctx, c, size, func(ctx context.Context, st *standing) error {
				got, err := st.during(ctx, func() error { return st.cut(ctx, provider.down) })
				s[linkDownGap] = got.gapMS
				return err
			})
		}),
	}
}

func returnPart(o options, bin string) part {
	size := max(2, o.prefixes/5)
	return part{
		name:    "return",
		title:   fmt.Sprintf("A provider that dropped everything carries again, %d prefixes", size),
		note:    "The provider of the part \"cut\". The flows go on until the line carries all that it did before.\n",
		figures: []figure{{returnLost, "packets lost"}, {returnGap, "gap, ms"}},
		limits:  forBoth("line returns, packets lost", returnLost, 0),
		participants: redundantParticipants(o, bin, func(ctx context.Context, c redundant) (sample, error) {
			s := sample{}
			return s, withStanding(ctx, c, size, func(ctx context.Context, st *standing) error {
				if _, err := st.during(ctx, func() error { return st.cut(ctx, provider.silence) }); err != nil {
					return err
				}
				got, err := st.during(ctx, func() error {
					if err := st.lines.heal(ctx); err != nil {
						return err
					}
					return st.awaitReady(ctx)
				})
				s[returnLost], s[returnGap] = float64(got.lost), got.gapMS
				return err
			})
		}),
	}
}

func restartPart(o options, bin string) part {
	size := max(2, o.prefixes/100)
	return part{
		name:  "restart",
		title: fmt.Sprintf("A's daemon is restarted, %d prefixes", size),
		note: `Stop and start is SIGTERM, the end, and a start. A restart without a stop is what a daemon has for that: warren restart where the
binary has it; of BIRD, graceful restart and bird -R. wireguard-go is not restarted.
`,
		figures: []figure{{stopLost, "stop and start, packets lost"}, {stopGap, "stop and start, gap, ms"},
			{restartLost, "restart, packets lost"}, {restartGap, "restart, gap, ms"}},
		limits: []limit{{nameWarren, "TLS: restart, packets lost", restartLost, 50},
			{nameWarrenWireGuard, "WireGuard: restart, packets lost", restartLost, 5}},
		participants: redundantParticipants(o, bin, func(ctx context.Context, c redundant) (sample, error) {
			s := sample{}
			return s, withStanding(ctx, c, size, func(ctx context.Context, st *standing) error {
				got, err := st.during(ctx, func() error { return st.restarted(ctx, st.stopStart) })
				if err != nil {
					return fmt.Errorf("stop and start: %w", err)
				}
				s[stopLost], s[stopGap] = float64(got.lost), got.gapMS
				if st.restart == nil {
					return nil
				}
				if got, err = st.during(ctx, func() error { return st.restarted(ctx, st.restart) }); err != nil {
					return fmt.Errorf("restart: %w", err)
				}
				s[restartLost], s[restartGap] = float64(got.lost), got.gapMS
				return nil
			})
		}),
	}
}

// redundantParticipants are those that keep two lines.
func redundantParticipants(o options, bin string, turn func(context.Context, redundant) (sample, error)) []participant {
	var out []participant
	for _, c := range []redundant{
		&redundantWarren{bin, o.timers(transportTLS)},
		&redundantWarren{bin, o.timers(transportWireGuard)},
		&redundantBIRD{wireGuard: &wireGuard{bin: bin}},
		&redundantOpenVPN{},
	} {
		out = append(out, participant{id: c.name(), title: c.title(), needs: c.needs(), version: c.version,
			turn: func(ctx context.Context) (sample, error) { return turn(ctx, c) }})
	}
	return out
}

func warrenFile(bin string) string { return filepath.Join(bin, "warren") }
