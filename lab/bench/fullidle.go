package main

import (
	"context"
	"fmt"
)

const (
	idleOne         metric = "one_idle_tunnel_mb"
	idleEach        metric = "each_further_idle_tunnel_kb"
	idleUp          metric = "all_up_s"
	idleEstablished metric = "all_established_s"
)

func idlePart(o options, bin string) part {
	further := map[string]int{transportTLS: o.idle, transportWireGuard: o.idleWireGuard}
	p := part{
		name:  "idle",
		title: fmt.Sprintf("Idle tunnels: %d over TLS, %d over WireGuard", 1+o.idle, 1+o.idleWireGuard),
		note: `Sessions included, and both ends on this machine; memory is of the end where it is larger, both of its processes. The
time is from the start of both ends.
`,
		figures: []figure{
			{idleOne, "memory with one tunnel, MB"},
			{idleEach, "memory of each further tunnel, KB"},
			{idleUp, "start until all tunnels are up, s"},
			{idleEstablished, "start until all sessions are established, s"},
		},
		participants: warrenParticipants(bin, func(ctx context.Context, bin, transport string) (sample, error) {
			if further[transport] < 1 {
				return sample{}, nil
			}
			r, err := measureIdle(ctx, bin, transport, further[transport])
			if err != nil {
				return nil, err
			}
			return sample{idleOne: r.One.MemoryMB, idleEach: r.PerTunnelKB, idleUp: r.All.UpS, idleEstablished: r.All.EstablishedS}, nil
		}),
		limits: []limit{{nameWarrenWireGuard, "idle tunnels up over WireGuard, s", idleUp, 8}},
	}
	for _, w := range []string{nameWarren, nameWarrenWireGuard} {
		p.limits = append(p.limits, limit{w, w + ": memory with one idle tunnel, MB", idleOne, 45},
			limit{w, w + ": memory of each further idle tunnel, KB", idleEach, 300})
	}
	return p
}
