package main

import (
	"context"
	"fmt"

	"strings"
	"time"

	"warren/lab/topo"
)

// live lets a prefix of each family appear at one end and disappear again, while
// the other end's kernel is watched.
func (d *demo) live(ctx context.Context) error {
	d.step("routes are live: a new network on the LAN interface of one site")
	for _, c := range []struct {
		at, seenAt     *topo.Host
		address, route string
	}{
		{d.sites.SiteA, d.sites.SiteB, "10.1.77.1/24", "10.1.77.0/24"},
		{d.sites.SiteB, d.sites.SiteA, "2001:db8:2:77::1/64", "2001:db8:2:77::/64"},
	} {
		for _, change := range []struct {
			verb, text string
			there      bool
		}{{"add", "is in", true}, {"del", "has left", false}} {
			argv := []string{"ip", "address", change.verb, c.address, "dev", "lan0"}
			d.typed(c.at, argv...)
			began := time.Now()
			if _, err := c.at.Run(ctx, argv...); err != nil {
				return err
			}
			if err := waitRoute(ctx, c.seenAt, c.route, change.there); err != nil {
				return err
			}
			fmt.Printf("    %s %s the kernel of %s %d ms later\n", c.route, change.text, c.seenAt.Name,
				time.Since(began).Milliseconds())
		}
	}
	return nil
}

// waitRoute waits until the host's kernel has, or has not, an owned route.
func waitRoute(ctx context.Context, h *topo.Host, prefix string, there bool) error {
	family := "-4"
	if strings.Contains(prefix, ":") {
		family = "-6"
	}
	_, err := topo.Eventually(ctx, time.Millisecond, stepWithin, func() error {
		out, err := h.Run(ctx, "ip", family, "route", "show", "proto", "bgp", prefix)
		if err != nil {
			return err
		}
		if has := strings.TrimSpace(out) != ""; has != there {
			return fmt.Errorf("%s in the kernel of %s: %v", prefix, h.Name, has)
		}
		return nil
	})
	return err
}
