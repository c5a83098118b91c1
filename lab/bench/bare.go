package main

import (
	"context"
)

// bare is no tunnel at all: what the machine and the load generators can do.
type bare struct{}

func (bare) name() string                            { return nameBare }
func (bare) title() string                           { return "bare veth" }
func (bare) binary() string                          { return "" }
func (bare) version(context.Context) (string, error) { return "Linux " + kernelRelease(), nil }
func (bare) prepare(context.Context, *pair) error    { return nil }
func (bare) start(context.Context, *pair) (*session, error) {
	return &session{addrB: underlayB}, nil
}
