package underlay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// MarksTable is the guard's nftables table, of each family. It is there only after packets
// of transports have come out of a tunnel: behind all other output hooks it gives packets
// of marked sockets their mark back, whereupon the kernel looks for their way once more.
// Whoever loads a ruleset with `flush ruleset` removes it; then the next such packet
// brings it back.
const MarksTable = "warren_marks"

// remarkEvery bounds how often the table is made again.
const remarkEvery = time.Second

var marksFamilies = []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6}

// remark makes the table if packets have come out of a tunnel, unless it has just done
// so: if that was not enough, the next one asks again.
func (g *Guard) remark(now time.Time) {
	o := g.outer
	o.mu.Lock()
	wanted := o.remark.wanted
	o.mu.Unlock()
	if !wanted || now.Sub(g.remarked) < remarkEvery {
		return
	}
	g.remarked = now
	err := makeMarks()
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.remark.err
	if o.remark = (remarkState{done: err == nil}); err == nil {
		return
	}
	if o.remark.err = err.Error(); o.remark.err != before {
		g.log.Warn("packets of the transports cannot be marked again", "err", err)
	}
}

func makeMarks() error {
	for _, family := range marksFamilies {
		err := makeMarksOf(family)
		if family == nftables.TableFamilyIPv6 && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)) {
			continue // a kernel without IPv6 has no tables of it (nf_tables_newtable)
		}
		if err != nil {
			return fmt.Errorf("underlay: make nftables table %s: %w", MarksTable, err)
		}
	}
	return nil
}

func makeMarksOf(family nftables.TableFamily) error {
	conn := &nftables.Conn{}
	table := conn.AddTable(&nftables.Table{Name: MarksTable, Family: family})
	conn.DelTable(table) // what there is of it, in the same transaction
	conn.AddTable(table)
	chain := conn.AddChain(&nftables.Chain{
		Name: "output", Table: table, Type: nftables.ChainTypeRoute,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityLast,
	})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: markAgain()})
	return conn.Flush()
}

// markAgain is `socket mark & MarkMask == Mark meta mark & MarkMask != Mark meta mark set
// Mark`.
func markAgain() []expr.Any {
	number := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	masked := &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: number(MarkMask), Xor: number(0)}
	return []expr.Any{
		&expr.Socket{Key: expr.SocketKeyMark, Register: 1},
		masked,
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: number(Mark)},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		masked,
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: number(Mark)},
		&expr.Immediate{Register: 1, Data: number(Mark)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
	}
}

// clearMarks removes the table, a killed daemon's too. A kernel without nftables has
// none.
func clearMarks() error {
	conn := &nftables.Conn{}
	var errs []error
	for _, family := range marksFamilies {
		table := &nftables.Table{Name: MarksTable, Family: family}
		if _, err := conn.ListTableOfFamily(MarksTable, family); err != nil {
			continue // not there, or no nftables
		}
		conn.DelTable(table)
		if err := conn.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("underlay: delete nftables table %s: %w", MarksTable, err))
		}
	}
	return errors.Join(errs...)
}
