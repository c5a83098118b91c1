package underlay

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// Numbers of tables.
const (
	// Table is the routing table that holds the copy of table main. The numbers up to
	// lastTable hold those of other tables. Whatever is in them belongs to the guard.
	Table      = firstTable + unix.RT_TABLE_MAIN // 827900254
	firstTable = 827900000
	lastTable  = firstTable + tableRange - 1
	tableRange = 100_000

	// formerTable is what earlier versions used. wg-quick takes the mark that it is told to
	// use for the number of its table, so it may be in use.
	formerTable = 0x2057

	// chainTable is the number by which the rules of a chain are known, see chain. None of them looks a table up, so it does not matter
	// that the copy of a table may have that number.
	chainTable = firstTable
)

// isOwnTable tells the numbers of copies, and of the next-hop objects of learned routes, which
// are the same.
func isOwnTable(number uint32) bool { return number >= firstTable && number <= lastTable }

// numberCopies gives each table's copy a number: the table's own, behind 8279, or
// where two would have the same, the next. Table main is always the first to choose.
func numberCopies(tables []uint32) map[uint32]uint32 {
	tables = slices.Sorted(slices.Values(tables))
	if i, ok := slices.BinarySearch(tables, unix.RT_TABLE_MAIN); ok {
		tables = slices.Insert(slices.Delete(tables, i, i+1), 0, unix.RT_TABLE_MAIN)
	}
	copies := make(map[uint32]uint32, len(tables))
	taken := make(map[uint32]bool, len(tables))
	for _, t := range tables {
		n := t % tableRange
		for taken[n] && len(taken) < tableRange {
			n = (n + 1) % tableRange
		}
		taken[n] = true
		copies[t] = firstTable + n
	}
	return copies
}

// watched is what the guard last knew of one family's tables and of the interfaces. It
// is not changed once it is made: other goroutines read it.
type watched struct {
	// copies has the tables that transports' packets can get to, with the number of their
	// copy, or 0 where there are no ways into tunnels in them.
	copies   map[uint32]uint32
	tunnels  map[uint32]bool // interfaces by index
	underlay map[uint32]bool // all others that packets can leave by
	silent   map[uint32]bool // those that have no carrier
}

// examine looks at the tables that transports' packets can get to: all of them, or those
// that were not known before.
func (g *Guard) examine(k *kernel, family int, tables []uint32, l links, all bool) (*watched, error) {
	w := &watched{copies: make(map[uint32]uint32, len(tables)), tunnels: l.tunnels, underlay: l.underlay, silent: l.silent}
	before := g.watched[family].Load()
	var copied []uint32
	for _, t := range tables {
		number, known := before.copies[t]
		unsafe := number != 0
		if all || !known {
			var err error
			if unsafe, err = g.leadsIntoTunnel(k, family, t, l.tunnels); err != nil {
				return nil, err
			}
		}
		w.copies[t] = 0
		if unsafe {
			copied = append(copied, t)
		}
	}
	maps.Copy(w.copies, numberCopies(copied))
	return w, nil
}

// leadsIntoTunnel reports whether a table has to be copied. The one that learned routes
// go to has, even before there are any; and main, where most others put theirs.
func (g *Guard) leadsIntoTunnel(k *kernel, family int, table uint32, tunnels map[uint32]bool) (bool, error) {
	if table == g.fibTable || table == unix.RT_TABLE_MAIN {
		return true, nil
	}
	if isOwnTable(table) { // somebody else's rule leads there, or a copy of our own rules
		return false, nil
	}
	found := false
	_, err := k.routes(family, table, func(m []byte) error {
		found = found || leadsThrough(m, func(ifindex uint32) bool { return tunnels[ifindex] })
		return nil
	})
	return found, err
}

// copyTables brings the copies of one family up to date: all, or those that are new.
func (g *Guard) copyTables(k *kernel, family int, w *watched, all bool) (complete bool, err error) {
	before := g.watched[family].Load()
	complete = true
	var failed failures
	for original, number := range w.copies {
		if number == 0 || !all && before.copies[original] == number {
			continue
		}
		g.made[family][number] = true
		whole, f, err := g.copyRoutes(k, family, original, number, w)
		if err != nil {
			return false, err
		}
		complete = complete && whole
		failed.n += f.n
		if failed.first == nil {
			failed.first = f.first
		}
	}
	if all {
		g.reportFailures(family, failed)
	}
	return complete, nil
}

// clearTables removes the tables of one family that hold no copy any more. Their rules
// must be gone.
func (g *Guard) clearTables(k *kernel, family int, w *watched) error {
	for number := range g.made[family] {
		if slices.Contains(slices.Collect(maps.Values(w.copies)), number) {
			continue
		}
		if err := g.clear(k, family, number); err != nil {
			return err
		}
		delete(g.made[family], number)
	}
	return nil
}

// findLeftovers finds the tables that a killed daemon has left.
func (g *Guard) findLeftovers(k *kernel) error {
	for _, family := range families {
		numbers, err := retryDump(func() ([]uint32, error) { return k.tablesOf(family, g.protocol) })
		if err != nil {
			return fmt.Errorf("underlay: look for tables that were left: %w", err)
		}
		for _, n := range numbers {
			if isOwnTable(n) || n == formerTable {
				g.made[family][n] = true
			}
		}
		own, _, err := g.listRules(k, family)
		if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
			return err
		}
		for _, r := range own {
			if !r.inChain() && (isOwnTable(r.table) || r.table == formerTable) {
				g.made[family][r.table] = true
			}
		}
	}
	return nil
}
