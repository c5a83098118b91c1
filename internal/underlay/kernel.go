package underlay

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	replyTimeout = 10 * time.Second
	maxBatch     = 128 // messages in one send; as many errors still fit in the receive buffer
)

// kernel is the guard's way to the routing tables of one network namespace.
// It belongs to the goroutine of Run.
type kernel struct {
	handle *netlink.Handle // links
	dump   *nl.NetlinkSocket
	write  int    // a socket for batches of route messages
	port   uint32 // netlink port of write: who caused a notification
	seq    uint32
}

func openKernel() (_ *kernel, err error) {
	k := &kernel{write: -1}
	defer func() {
		if err != nil {
			k.close()
		}
	}()
	if k.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("underlay: open netlink: %w", err)
	}
	if k.dump, err = nl.Subscribe(unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("underlay: open netlink: %w", err)
	}
	// With strict checking the kernel itself picks one table's routes.
	if err = unix.SetsockoptInt(k.dump.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1); err != nil {
		return nil, fmt.Errorf("underlay: strict netlink dumps (Linux 4.20 or later): %w", err)
	}
	tv := unix.NsecToTimeval(int64(replyTimeout))
	_ = k.dump.SetReceiveTimeout(&tv) // these two only store the value
	_ = k.dump.SetSendTimeout(&tv)
	if err = k.openWrite(tv); err != nil {
		return nil, fmt.Errorf("underlay: open netlink: %w", err)
	}
	return k, nil
}

func (k *kernel) openWrite(timeout unix.Timeval) (err error) {
	if k.write, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE); err != nil {
		return err
	}
	if err := unix.Bind(k.write, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	sa, err := unix.Getsockname(k.write)
	if err != nil {
		return err
	}
	k.port = sa.(*unix.SockaddrNetlink).Pid
	// Without it each error would carry the message it is about.
	if err := unix.SetsockoptInt(k.write, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1); err != nil {
		return err
	}
	return unix.SetsockoptTimeval(k.write, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout)
}

func (k *kernel) close() {
	if k.handle != nil {
		k.handle.Close()
	}
	if k.dump != nil {
		k.dump.Close()
	}
	if k.write >= 0 {
		_ = unix.Close(k.write)
	}
}

// routes calls each for every route message of a table; the bytes are valid
// during the call only. complete is false if the table changed meanwhile: then
// routes may be missing.
func (k *kernel) routes(family int, table uint32, each func(m []byte) error) (complete bool, err error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Seq: k.nextSeq(), Socket: k.dump}}
	req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family)}})
	req.AddData(nl.NewRtAttr(unix.RTA_TABLE, nl.Uint32Attr(table)))
	var eachErr error
	err = req.ExecuteIter(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE, func(m []byte) bool {
		if len(m) < unix.SizeofRtMsg || int(m[rtFamily]) != family || routeTable(m) != table {
			return true
		}
		if binary.NativeEndian.Uint32(m[rtFlags:])&unix.RTM_F_CLONED != 0 {
			return true
		}
		eachErr = each(m)
		return eachErr == nil
	})
	switch {
	case eachErr != nil:
		return false, eachErr
	case errors.Is(err, unix.ENOENT): // no such table yet
		return true, nil
	case errors.Is(err, netlink.ErrDumpInterrupted):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("underlay: list routes of table %d: %w", table, err)
	}
	return true, nil
}

// tablesOf lists the tables that have routes of a protocol.
func (k *kernel) tablesOf(family int, protocol uint8) ([]uint32, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Seq: k.nextSeq(), Socket: k.dump}}
	req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family), Protocol: protocol}})
	seen := make(map[uint32]bool)
	err := req.ExecuteIter(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE, func(m []byte) bool {
		if len(m) >= unix.SizeofRtMsg && int(m[rtFamily]) == family && m[rtProtocol] == protocol {
			seen[routeTable(m)] = true
		}
		return true
	})
	return slices.Collect(maps.Keys(seen)), err
}

// rules lists the policy rules of a family in the order in which they are looked at.
func (k *kernel) rules(family int) ([]rule, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETRULE, unix.NLM_F_DUMP)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Seq: k.nextSeq(), Socket: k.dump}}
	head := make([]byte, frLen)
	head[frFamily] = uint8(family)
	req.AddRawData(head)
	var rules []rule
	var parseErr error
	err := req.ExecuteIter(unix.NETLINK_ROUTE, unix.RTM_NEWRULE, func(m []byte) bool {
		if len(m) < frLen || int(m[frFamily]) != family {
			return true
		}
		var r rule
		r, parseErr = parseRule(m)
		rules = append(rules, r)
		return parseErr == nil
	})
	return rules, cmp.Or(parseErr, err)
}

// request sends one message and waits for the answer.
func (k *kernel) request(typ, flags uint16, body []byte) error {
	first := k.seq + 1
	b := appendHeader(nil, typ, flags|unix.NLM_F_ACK, k.nextSeq())
	b = append(b, body...)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	if err := unix.Sendto(k.write, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	var answer error
	err := k.readReplies(first, func(_ uint32, err error) { answer = err })
	return cmp.Or(err, answer)
}

func (k *kernel) nextSeq() uint32 {
	k.seq++
	return k.seq
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

func (k *kernel) applyBatch(protocol uint8, batch []change, failed func(change, error)) error {
	first := k.seq + 1
	var b []byte
	for i, c := range batch {
		typ, flags := uint16(unix.RTM_NEWROUTE), uint16(unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
		if c.delete {
			typ, flags = unix.RTM_DELROUTE, 0
		}
		if i == len(batch)-1 {
			flags |= unix.NLM_F_ACK
		}
		b = appendMessage(b, typ, flags, k.nextSeq(), protocol, c)
	}
	if err := unix.Sendto(k.write, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	return k.readReplies(first, func(i uint32, err error) {
		c := batch[i]
		gone := c.delete && (errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT))
		if !gone {
			failed(c, err)
		}
	})
}

// readReplies reads until the message k.seq has been answered. reply is called
// for each error, with the number of the message counted from first.
func (k *kernel) readReplies(first uint32, reply func(i uint32, err error)) error {
	buf := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(k.write, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		msgs, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return err
		}
		for _, m := range msgs {
			if m.Header.Type != unix.NLMSG_ERROR || len(m.Data) < 4 || m.Header.Seq-first > k.seq-first {
				continue
			}
			if errno := int32(binary.NativeEndian.Uint32(m.Data)); errno != 0 {
				reply(m.Header.Seq-first, syscall.Errno(-errno))
			}
			if m.Header.Seq == k.seq {
				return nil
			}
		}
	}
}
