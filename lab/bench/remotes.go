package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"warren/lab/topo"
)

// remotesPart measures a list of remotes: A dials the first server, and the second when that is lost.
func remotesPart(o options, bin string) part {
	p := part{
		name:  "remotes",
		title: "A list of two servers, of which the first is lost",
		note: `A has one tunnel, and the addresses of two servers, each behind a provider of its own. A flow goes from A to an address that
both servers have; the gap lasts until packets arrive at the second. The first is killed (SIGKILL), or what A sends to it is
dropped while what it sends still arrives.
`,
		figures: []figure{{killedGap, "first killed, gap, ms"}, {oneWayGap, "path to the first dead one way, gap, ms"}},
	}
	for _, c := range []serverList{
		&warrenServers{bin, o.timers(transportTLS)}, &warrenServers{bin, o.timers(transportWireGuard)}, &openVPNServers{},
	} {
		p.participants = append(p.participants, participant{id: c.name(), title: c.title(), needs: c.needs(), version: c.version,
			turn: func(ctx context.Context) (sample, error) { return remotesTurn(ctx, c) }})
	}
	most := 1000 + millis(o.deadAfter)
	p.limits = append(forBoth("first of two remotes killed, gap, ms"+o.detection(), killedGap, most),
		forBoth("path to the first of two remotes dead one way, gap, ms"+o.detection(), oneWayGap, most)...)
	return p
}

// serverList is one that dials a list of servers.
type serverList interface {
	named
	title() string
	needs() []string
	version(ctx context.Context) (string, error)
	// start starts the servers, A when all of them listen, and does not wait for A: it is to find the first.
	start(ctx context.Context, l *lines) (*serving, error)
}

// awaitPort waits until a process listens on a port of a host, by TCP or UDP.
func awaitPort(ctx context.Context, h *topo.Host, port int) error {
	_, err := topo.Eventually(ctx, 20*time.Millisecond, fullReady, func() error {
		out, err := h.Run(ctx, "ss", "-Hltun")
		if err == nil && !strings.Contains(out, fmt.Sprintf(":%d ", port)) {
			err = fmt.Errorf("nothing on %s listens on port %d", h.Name, port)
		}
		return err
	})
	return err
}

// serving is one that runs.
type serving struct {
	servers []*topo.Process // in the order of the list
	client  *topo.Process
	way     way // of the flow
}

// remotesTurn measures both ways to lose the first server, each from the start.
func remotesTurn(ctx context.Context, c serverList) (sample, error) {
	s := sample{}
	for _, loss := range []struct {
		key  metric
		lose func(context.Context, *lines, *serving) error
	}{
		{killedGap, func(_ context.Context, _ *lines, s *serving) error {
			s.servers[0].Kill9()
			return nil
		}},
		{oneWayGap, func(ctx context.Context, l *lines, _ *serving) error { return l.providers[0].drop(ctx, fromA) }},
	} {
		gap, err := loseFirst(ctx, c, loss.lose)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", loss.key, err)
		}
		s[loss.key] = gap
	}
	return s, nil
}

func loseFirst(ctx context.Context, c serverList, lose func(context.Context, *lines, *serving) error) (gap float64, err error) {
	l, err := newLines(ctx, 2, true)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	s, err := c.start(ctx, l)
	if err != nil {
		return 0, err
	}
	var got flowFigures
	err = watched(ctx, []*topo.Process{s.client, s.servers[1]}, func(ctx context.Context) error {
		pinged := func() error { return pings(ctx, s.way) }
		if _, err := topo.Eventually(ctx, countInterval, failoverWithin, pinged); err != nil {
			return err
		}
		got, err = withFlows(ctx, []way{s.way}, func() error {
			if err := pause(ctx, failoverSettle); err != nil {
				return err
			}
			if i, err := l.busiest(ctx); err != nil || i != 0 {
				return errors.Join(err, fmt.Errorf("the flow goes to server number %d of the list, want the first", i+1))
			}
			if err := lose(ctx, l, s); err != nil {
				return err
			}
			if err := pause(ctx, countInterval); err != nil { // what is on its way still arrives
				return err
			}
			if _, err := topo.Eventually(ctx, countInterval, failoverWithin, pinged); err != nil {
				return err
			}
			return pause(ctx, failoverSettle)
		})
		return err
	})
	return got.gapMS, err
}

// warrenServers is a Warren with two remotes.
type warrenServers struct {
	bin    string
	config lineConfig
}

func (w *warrenServers) as() *redundantWarren                        { return &redundantWarren{w.bin, w.config} }
func (w *warrenServers) name() string                                { return w.as().name() }
func (w *warrenServers) title() string                               { return w.as().title() }
func (w *warrenServers) needs() []string                             { return w.as().needs() }
func (w *warrenServers) version(ctx context.Context) (string, error) { return w.as().version(ctx) }

func (w *warrenServers) start(ctx context.Context, l *lines) (*serving, error) {
	s := &serving{way: way{from: l.a, src: siteA, dst: siteB}}
	secret := filepath.Join(l.Dir(), "lines.secret")
	if _, err := l.a.Run(ctx, warrenFile(w.bin), "keygen", "--secret", secret); err != nil {
		return nil, err
	}
	c := w.config
	c.prefixes = 10
	var remotes []string
	for i, p := range l.providers {
		r, err := topo.NewWarren(ctx, p.far, warrenFile(w.bin))
		if err != nil {
			return nil, err
		}
		err = errors.Join(configureSite(r, 64513, fmt.Sprintf("10.255.0.%d", 2+i), networkB, c.transport),
			r.ConfigurePeer("client", linePeer(c, secret, nil, 64512, false)), r.Start())
		if err != nil {
			return nil, err
		}
		s.servers, s.way.to = append(s.servers, r.Process), append(s.way.to, p.far)
		remotes = append(remotes, p.farAddr)
	}
	for _, p := range l.providers {
		if err := awaitPort(ctx, p.far, c.port()); err != nil {
			return nil, err
		}
	}
	a, err := topo.NewWarren(ctx, l.a, warrenFile(w.bin))
	if err != nil {
		return nil, err
	}
	err = errors.Join(configureSite(a, 64512, siteA, networkA, c.transport),
		a.ConfigurePeer("servers", linePeer(c, secret, remotes, 64513, false)), a.Start())
	s.client = a.Process
	return s, err
}

// openVPNServers is a client of OpenVPN with two servers.
type openVPNServers struct{ openVPN }

func (*openVPNServers) name() string    { return nameRedundantOpenVPN }
func (*openVPNServers) title() string   { return "OpenVPN" }
func (*openVPNServers) needs() []string { return []string{"openvpn"} }

func (*openVPNServers) start(ctx context.Context, l *lines) (*serving, error) {
	// Each server takes the first address of the net, and gives its client the second.
	s := &serving{way: way{from: l.a, src: tunnelB, dst: tunnelA}}
	pair, err := newOpenVPNPair(l.Dir())
	if err != nil {
		return nil, err
	}
	var remotes []string
	for _, p := range l.providers {
		server, err := p.far.Start("openvpn", "--config", pair.server)
		if err != nil {
			return nil, err
		}
		s.servers, s.way.to = append(s.servers, server), append(s.way.to, p.far)
		remotes = append(remotes, p.farAddr)
	}
	for _, p := range l.providers {
		if err := awaitPort(ctx, p.far, openVPNPort); err != nil {
			return nil, err
		}
	}
	config, err := pair.client(l.Dir(), remotes...)
	if err != nil {
		return nil, err
	}
	s.client, err = l.a.Start("openvpn", "--config", config)
	return s, err
}
