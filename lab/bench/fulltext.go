package main

import "fmt"

// fullNotes explain the table. The numbers are fullChanges and the seconds of rest.
const fullNotes = `In each round the routers run one after the other, each in fresh network namespaces. A program
plays the table to it, written before: six IPv4 prefixes to an UPDATE, 16.0.0.0/24 and those behind it, other
attributes in each UPDATE, then End-of-RIB. The session goes through a tunnel of two TUN devices. The
time is from the first UPDATE until the kernel has all routes; gobgpd writes none, and its time is until its own
table has them, asked every 0.2 s. Processor time and memory are of all processes of the router: Warren's two, zebra and
bgpd; pages that two share count twice. One changed prefix is the median of %d withdrawals and as many announcements at
the full table, each sent when the kernel shows the one before; its processor time is known to
0.1 ms. Memory after the withdrawal of all is
resident %s s later. Figures are medians over the rounds, and multiples medians of each round's.
`

func (r *fullReport) notes() string { return fmt.Sprintf(fullNotes, fullChanges, format(r.RestS, -1)) }

// facts describe machine and routers, one line each.
func (r *fullReport) facts() []string {
	out := []string{r.Machine.fact()}
	for _, c := range r.Routers {
		out = append(out, c.Title+": "+c.Version)
	}
	return out
}

func (r *fullReport) tables() []table {
	tables := []table{r.medianTable()}
	if len(r.Targets) > 0 {
		tables = append(tables, targetTable(r.Targets))
	}
	return tables
}

func (r *fullReport) document() document {
	return document{title: "Bench of a full table", origin: "make bench BENCHFLAGS=-table",
		facts: r.facts(), tables: r.tables(), notes: r.notes()}
}

// short is the report for the README, in Markdown.
func (r *fullReport) short() string {
	return fmt.Sprintf("A full table, %d IPv4 prefixes, beside other BGP routers ([how](docs/bench-table.md)):\n\n%s\n",
		r.Prefixes, emphasizeWarren(r.medianTable()).markdown())
}
