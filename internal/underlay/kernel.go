package underlay

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// maxBatch is how many messages go in one send; as many errors still fit in the receive buffer.
const maxBatch = 128

// kernel is the guard's way to the routing tables of one network namespace.
// It belongs to the goroutine of Run.
type kernel struct {
	conn    *rtnl.Conn
	objects map[uint32]rtnl.NextHop
}

func openKernel() (*kernel, error) {
	conn, err := rtnl.Dial()
	if err != nil {
		return nil, fmt.Errorf("underlay: %w", err)
	}
	return &kernel{conn: conn}, nil
}

func (k *kernel) close() { k.conn.Close() }

// readObjects reads the kernel's next-hop objects, which say where routes lead that name
// one and not its ways.
func (k *kernel) readObjects() (err error) {
	if k.objects, err = k.conn.NextHops(); err != nil {
		return fmt.Errorf("underlay: list next-hop objects: %w", err)
	}
	return nil
}

// routes calls each for every route message of a table; the bytes are valid
// during the call only. complete is false if the table changed meanwhile: then
// routes may be missing.
func (k *kernel) routes(family int, table uint32, each func(m []byte) error) (complete bool, err error) {
	var eachErr error
	interrupted, err := k.conn.Dump(unix.RTM_GETROUTE, rtnl.RouteRequest(uint8(family), table, 0), func(typ uint16, m []byte) {
		if typ != unix.RTM_NEWROUTE || len(m) < unix.SizeofRtMsg || int(m[rtFamily]) != family || routeTable(m) != table {
			return
		}
		if binary.NativeEndian.Uint32(m[rtFlags:])&unix.RTM_F_CLONED != 0 || eachErr != nil {
			return
		}
		eachErr = each(rtnl.Spell(m, k.objects))
	})
	switch {
	case eachErr != nil:
		return false, eachErr
	case errors.Is(err, unix.ENOENT): // no such table yet
		return true, nil
	case err != nil:
		return false, fmt.Errorf("underlay: list routes of table %d: %w", table, err)
	}
	return !interrupted, nil
}

// tablesOf lists the tables that have routes of a protocol.
func (k *kernel) tablesOf(family int, protocol uint8) ([]uint32, error) {
	head := make([]byte, unix.SizeofRtMsg)
	head[rtFamily], head[rtProtocol] = uint8(family), protocol
	seen := make(map[uint32]bool)
	err := k.list(unix.RTM_GETROUTE, head, func(typ uint16, m []byte) {
		if typ == unix.RTM_NEWROUTE && len(m) >= unix.SizeofRtMsg && int(m[rtFamily]) == family && m[rtProtocol] == protocol {
			seen[routeTable(m)] = true
		}
	})
	return slices.Collect(maps.Keys(seen)), err
}

// list is a dump that fails where the kernel's tables changed meanwhile.
func (k *kernel) list(typ uint16, body []byte, each func(typ uint16, m []byte)) error {
	interrupted, err := k.conn.Dump(typ, body, each)
	if err == nil && interrupted {
		return netlink.ErrDumpInterrupted
	}
	return err
}

// rules lists the policy rules of a family in the order in which they are looked at.
func (k *kernel) rules(family int) ([]rule, error) {
	head := make([]byte, frLen)
	head[frFamily] = uint8(family)
	var rules []rule
	var parseErr error
	err := k.list(unix.RTM_GETRULE, head, func(typ uint16, m []byte) {
		if typ != unix.RTM_NEWRULE || len(m) < frLen || int(m[frFamily]) != family || parseErr != nil {
			return
		}
		var r rule
		r, parseErr = parseRule(m)
		rules = append(rules, r)
	})
	return rules, cmp.Or(parseErr, err)
}

// request sends one message and waits for the answer.
func (k *kernel) request(typ, flags uint16, body []byte) error {
	b := k.conn.Batch()
	b.Raw(typ, flags, body)
	var answer error
	err := b.Send(func(_ int, a rtnl.Answer) { answer = a.Errno })
	return cmp.Or(err, answer)
}

// change is one route to write.
type change struct {
	table  uint32
	key    routeKey
	route  route
	delete bool
}

// apply writes the changes in order. One that fails does not keep the others
// back: failed is called for it. The error is one of the socket.
func (k *kernel) apply(protocol uint8, changes []change, failed func(change, error)) error {
	for len(changes) > 0 {
		batch := changes[:min(maxBatch, len(changes))]
		changes = changes[len(batch):]
		if err := k.applyBatch(protocol, batch, failed); err != nil {
			return fmt.Errorf("underlay: write routes: %w", err)
		}
	}
	return nil
}

func (k *kernel) applyBatch(protocol uint8, changes []change, failed func(change, error)) error {
	b := k.conn.Batch()
	for _, c := range changes {
		typ, flags := uint16(unix.RTM_NEWROUTE), uint16(unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
		if c.delete {
			typ, flags = unix.RTM_DELROUTE, 0
		}
		b.Raw(typ, flags, message(protocol, c))
	}
	return b.Send(func(i int, a rtnl.Answer) {
		c := changes[i]
		gone := c.delete && (a.Errno == unix.ESRCH || a.Errno == unix.ENOENT)
		if !gone {
			failed(c, a.Errno)
		}
	})
}
