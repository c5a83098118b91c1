package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
)

const (
	fullFill      metric = "fill_s"
	fullCPU       metric = "fill_cpu_s"
	fullPeakRSS   metric = "peak_rss_mb"
	fullRestRSS   metric = "rss_after_withdrawal_mb"
	fullChange    metric = "one_change_ms"
	fullChangeCPU metric = "one_change_cpu_ms"

	changeFew     metric = "one_change_few_ms"
	changeFewCPU  metric = "one_change_few_cpu_ms"
	changeMany    metric = "one_change_many_ms"
	changeManyCPU metric = "one_change_many_cpu_ms"

	// changeFewPrefixes is the size of the smaller table beside which single changes are measured.
	changeFewPrefixes = 10
)

const tableNotes = `A program plays tables to the routers, written before: six IPv4 prefixes to an UPDATE, 16.0.0.0/24 and those
behind it, other attributes in each UPDATE, then End-of-RIB. The sessions go through tunnels of two TUN devices. In each
round all run one after the other, each in fresh network namespaces. Processor time and memory are of all
processes of a router: Warren's two, zebra and bgpd; pages that two share count twice. Figures are medians over the
rounds, and multiples medians of each round's. A process that gives way to all others keeps the processors from
halting.
`

// tableSuite measures what large tables cost.
func tableSuite(o options, bin string) *suite {
	return &suite{
		name:   "table",
		title:  "Bench of a full table",
		intro:  fmt.Sprintf("Tables of up to %d IPv4 prefixes, beside other BGP routers", o.prefixes),
		notes:  tableNotes,
		choice: o.table,
		parts: []part{fillPart(o, bin), changePart(o, bin), peersPart(o, bin), flowPart(o, bin), switchPart(o, bin),
			chainPart(o, bin), stopPart(o, bin), reloadPart(o, bin), idlePart(o, bin)},
	}
}

// takingTurns makes participants of the routers; those that write no routes only if it is asked for.
func takingTurns(bin string, withoutKernel bool, turn func(context.Context, fullRouter) (sample, error), only ...string) []participant {
	var out []participant
	for _, r := range fullRouters(bin) {
		if r.name() == nameGoBGPD && !withoutKernel || len(only) > 0 && !slices.Contains(only, r.name()) {
			continue
		}
		out = append(out, participant{id: r.name(), title: r.title(), needs: r.needs(), version: r.version,
			turn: func(ctx context.Context) (sample, error) { return turn(ctx, r) }})
	}
	return out
}

func fillPart(o options, bin string) part {
	return part{
		name:  "fill",
		title: fmt.Sprintf("Full table of %d IPv4 prefixes", o.prefixes),
		note: fmt.Sprintf(`The time is from the first UPDATE until the kernel has all routes; gobgpd writes none, and its time is until its
own table has them, asked every 0.2 s. One changed prefix is the median of %d withdrawals and as many announcements at
the full table, each sent when the kernel shows the one before; its processor time is known to 0.1 ms. Memory after the
withdrawal of all is resident %s s later.
`, fullChanges, format(o.rest.Seconds(), -1)),
		figures: []figure{
			{fullFill, "first UPDATE to last route, s"},
			{fullCPU, "processor time of that, s"},
			{fullPeakRSS, "memory, peak until then, MB"},
			{fullRestRSS, "memory after withdrawal of all, MB"},
			{fullChange, "one changed prefix to the kernel, ms"},
			{fullChangeCPU, "processor time of that, ms"},
		},
		rivals: []string{nameFRR, nameBIRD},
		bounds: []bound{
			{"first UPDATE to last route, times FRR's", nameWarren, nameFRR, fullFill, "at most 1.4", atMost(1.4)},
			{"memory, peak, times FRR's", nameWarren, nameFRR, fullPeakRSS, "at most 1.3", atMost(1.3)},
		},
		limits: []limit{
			{nameWarren, "memory after withdrawal of all, MB", fullRestRSS, 300},
			{nameWarren, "one changed prefix to the kernel, ms", fullChange, 5},
			{nameWarren, "processor time of one changed prefix, ms", fullChangeCPU, 5},
		},
		participants: takingTurns(bin, true, func(ctx context.Context, r fullRouter) (sample, error) {
			return fillTurn(ctx, r, o.prefixes, o.rest)
		}),
	}
}

func changePart(o options, bin string) part {
	many := max(1, o.prefixes/10)
	sizes := []changeSize{{changeFewPrefixes, changeFew, changeFewCPU}, {many, changeMany, changeManyCPU}}
	p := part{
		name:  "change",
		title: "One changed prefix beside smaller tables",
		note:  "As in the full table.\n",
		participants: takingTurns(bin, false, func(ctx context.Context, r fullRouter) (sample, error) {
			return changeTurn(ctx, r, sizes)
		}),
		rivals: []string{nameFRR, nameBIRD},
	}
	for _, s := range sizes {
		beside := fmt.Sprintf("beside %d prefixes", s.prefixes)
		p.figures = append(p.figures, figure{s.took, beside + ", to the kernel, ms"}, figure{s.cpu, beside + ", processor time, ms"})
		p.limits = append(p.limits, limit{nameWarren, "one changed prefix " + beside + ", ms", s.took, 5},
			limit{nameWarren, "processor time of one changed prefix " + beside + ", ms", s.cpu, 5})
	}
	return p
}

func peersPart(o options, bin string) part {
	size := max(1, o.prefixes/10)
	return part{
		name:  "peers",
		title: fmt.Sprintf("%d peers that announce the same %d prefixes", o.peers, size),
		note: `All send at once, each with another AS path, and each one prefix more behind the others that only it has. The time is
from the first UPDATE until the kernel has all, those last ones too, so until all tables have been read.
`,
		figures: []figure{
			{fullFill, "first UPDATE to last route, s"},
			{fullCPU, "processor time of that, s"},
			{fullPeakRSS, "memory, peak until then, MB"},
		},
		rivals: []string{nameFRR, nameBIRD},
		bounds: []bound{
			{"several peers' tables: first UPDATE to last route, times FRR's", nameWarren, nameFRR, fullFill, "at most 2", atMost(2)},
			{"several peers' tables: memory, peak, times FRR's", nameWarren, nameFRR, fullPeakRSS, "at most 1.2", atMost(1.2)},
		},
		participants: takingTurns(bin, false, func(ctx context.Context, r fullRouter) (sample, error) {
			return withRouter(ctx, r, o.peers, size+o.peers, func(ctx context.Context, t *fullTurn) error {
				return t.fill(ctx, size)
			})
		}),
	}
}

// warrenParticipants are Warren over either transport.
func warrenParticipants(bin string, turn func(ctx context.Context, bin, transport string) (sample, error)) []participant {
	var out []participant
	for _, transport := range []string{transportTLS, transportWireGuard} {
		w := &warren{bin: bin, transport: transport}
		file := filepath.Join(bin, w.binary())
		out = append(out, participant{id: w.name(), title: w.title(), needs: []string{file}, version: w.version,
			turn: func(ctx context.Context) (sample, error) { return turn(ctx, file, transport) }})
	}
	return out
}
