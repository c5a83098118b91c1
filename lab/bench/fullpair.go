package main

import (
	"context"
	"errors"

	"warren/lab/topo"
)

// fullPair is a router to be measured, alone on a host, and what it is fed by.
type fullPair struct {
	*topo.Topology
	router *topo.Host
	feed   *feed
	kernel *kernelRoutes // of the router
}

func newFullPair(ctx context.Context, feeders int) (_ *fullPair, err error) {
	p := &fullPair{}
	if p.Topology, err = topo.New(ctx, "bench"); err != nil {
		return nil, err
	}
	if err := p.build(ctx, feeders); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *fullPair) build(ctx context.Context, feeders int) (err error) {
	if p.router, err = p.Host(ctx, "router", topo.Forwarding()); err != nil {
		return err
	}
	if p.feed, err = newFeed(ctx, p.Topology, p.router, feeders); err != nil {
		return err
	}
	p.kernel, err = newKernelRoutes(p.router)
	return err
}

// close kills what runs and removes everything.
func (p *fullPair) close() error {
	var errs []error
	if p.kernel != nil {
		errs = append(errs, p.kernel.close())
	}
	if p.feed != nil {
		errs = append(errs, p.feed.close())
	}
	return errors.Join(append(errs, p.Close())...)
}
