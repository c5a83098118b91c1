//go:build lab

package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"warren/lab/topo"
)

func twoSites(s *scenario, _ *testscript.TestScript, _ bool, args []string) error {
	var opts []topo.HostOption
	if len(args) == 1 && args[0] == "rp-filter" {
		opts = append(opts, topo.RPFilter(1))
	}
	ctx, cancel := bounded()
	defer cancel()
	sites, err := topo.AddTwoSites(ctx, s.topo, opts...)
	if err != nil {
		return err
	}
	s.sites = sites
	for _, h := range []*topo.Host{sites.SiteA, sites.SiteB, sites.Inet, sites.LanA, sites.LanB} {
		s.hosts[h.Name] = h
	}
	s.links["wan-a"], s.links["wan-b"] = sites.WanA, sites.WanB
	s.links["lan-a"], s.links["lan-b"] = sites.NetA, sites.NetB
	return nil
}

func addHost(s *scenario, _ *testscript.TestScript, _ bool, args []string) error {
	if err := need(args, 1, "host NAME [router]"); err != nil {
		return err
	}
	var opts []topo.HostOption
	if len(args) > 1 && args[1] == "router" {
		opts = append(opts, topo.Forwarding())
	}
	ctx, cancel := bounded()
	defer cancel()
	h, err := s.topo.Host(ctx, args[0], opts...)
	s.hosts[args[0]] = h
	return err
}

func connect(s *scenario, _ *testscript.TestScript, _ bool, args []string) error {
	if err := need(args, 4, "connect A:IF ADDRS B:IF ADDRS"); err != nil {
		return err
	}
	nameA, ifA, okA := strings.Cut(args[0], ":")
	nameB, ifB, okB := strings.Cut(args[2], ":")
	if !okA || !okB {
		return errors.New("connect: an end is HOST:INTERFACE")
	}
	a, err := s.host(nameA)
	if err != nil {
		return err
	}
	b, err := s.host(nameB)
	if err != nil {
		return err
	}
	ctx, cancel := bounded()
	defer cancel()
	l, err := s.topo.Connect(ctx, a, ifA, strings.Split(args[1], ","), b, ifB, strings.Split(args[3], ","))
	s.links[nameA+"-"+nameB] = l
	return err
}

func route(s *scenario, _ *testscript.TestScript, neg bool, args []string) error {
	if err := need(args, 3, "route HOST PREFIX VIA"); err != nil {
		return err
	}
	h, err := s.host(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := bounded()
	defer cancel()
	if neg {
		return h.RouteGone(ctx, args[1], args[2])
	}
	return h.Route(ctx, args[1], args[2])
}

func masquerade(s *scenario, _ *testscript.TestScript, _ bool, args []string) error {
	if err := need(args, 2, "masquerade HOST INTERFACE"); err != nil {
		return err
	}
	h, err := s.host(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := bounded()
	defer cancel()
	return h.Masquerade(ctx, args[1])
}

func (s *scenario) link(args []string) (*topo.Link, error) {
	if len(args) == 1 && s.links[args[0]] != nil {
		return s.links[args[0]], nil
	}
	return nil, fmt.Errorf("there is no link %v", args)
}

func cut(s *scenario, _ *testscript.TestScript, _ bool, args []string) error {
	return s.withLink(args, (*topo.Link).Cut)
}

func blackhole(s *scenario, _ *testscript.TestScript, _ bool, args []string) error {
	return s.withLink(args, (*topo.Link).Blackhole)
}

func heal(s *scenario, _ *testscript.TestScript, _ bool, args []string) error {
	return s.withLink(args, (*topo.Link).Heal)
}

func (s *scenario) withLink(args []string, f func(*topo.Link, context.Context) error) error {
	l, err := s.link(args)
	if err != nil {
		return err
	}
	ctx, cancel := bounded()
	defer cancel()
	return f(l, ctx)
}
