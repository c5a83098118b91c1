package link

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// dumpTries bounds how often a dump is repeated because the kernel's tables
// changed under it.
const dumpTries = 5

// errInterrupted says that they did so each time.
var errInterrupted = errors.New("they kept changing meanwhile")

// Kinds of interfaces (IFLA_INFO_KIND).
const (
	tunKind       = "tun" // TAP devices too
	vrfKind       = "vrf"
	wireguardKind = "wireguard"
)

// found is an interface as the kernel lists it.
type found struct {
	index, master     int // master: the interface that it is part of, as of a VRF; 0: none
	name, alias, kind string
	flags             uint32 // unix.IFF_UP, …
	persistent        bool   // a TUN device that outlives the process that holds it
	ownerless         bool   // a TUN device without an owner, which any user may attach to
}

func (f *found) has(flags uint32) bool { return f.flags&flags == flags }

// source lists what the kernel has. Its socket stays in the namespace that it was opened in.
type source struct {
	conn        *rtnl.Conn
	owned       []int                   // see WatcherConfig
	objects     map[uint32]rtnl.NextHop // the kernel's next-hop objects, for one look
	interrupted bool                    // the kernel's tables have changed during a dump of this try
}

// newSource opens a source in the calling thread's network namespace.
func newSource(owned []int) (*source, error) {
	conn, err := rtnl.Dial()
	if err != nil {
		return nil, err
	}
	return &source{conn: conn, owned: owned}, nil
}

func (s *source) close() { s.conn.Close() }

// try calls list, which dumps tables, until none of them changes meanwhile. whole is false if they kept changing:
// something may be missing.
func (s *source) try(list func() error) (whole bool, err error) {
	for range dumpTries {
		s.interrupted = false
		if err := list(); err != nil || !s.interrupted {
			return true, err
		}
	}
	return false, nil
}

func (s *source) dump(typ uint16, body []byte, each func(typ uint16, m []byte)) error {
	interrupted, err := s.conn.Dump(typ, body, each)
	s.interrupted = s.interrupted || interrupted
	return err
}

// interfaces lists all interfaces.
func (s *source) interfaces() (all []found, err error) {
	err = s.dump(unix.RTM_GETLINK, rtnl.LinkRequest(), func(typ uint16, m []byte) {
		if f, ok := parseInterface(m); ok && typ == unix.RTM_NEWLINK {
			all = append(all, f)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	return all, nil
}

// addresses lists those of one interface, or of all with 0.
func (s *source) addresses(index uint32) (all []rtnl.Address, err error) {
	err = s.dump(unix.RTM_GETADDR, rtnl.AddressRequest(index), func(typ uint16, m []byte) {
		if a, ok := rtnl.ParseAddress(m); ok && typ == unix.RTM_NEWADDR && (index == 0 || a.Index == index) {
			all = append(all, a)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	return all, nil
}

// parseInterface reads the payload of RTM_NEWLINK.
func parseInterface(m []byte) (f found, ok bool) {
	l, ok := rtnl.ParseLink(m)
	if !ok {
		return f, false
	}
	f = found{index: int(l.Index), name: l.Name, flags: binary.NativeEndian.Uint32(m[8:])}
	for typ, v := range rtnl.Attributes(m[unix.SizeofIfInfomsg:]) {
		switch typ {
		case unix.IFLA_IFALIAS:
			f.alias = unix.ByteSliceToString(v)
		case unix.IFLA_MASTER:
			if len(v) >= 4 {
				f.master = int(binary.NativeEndian.Uint32(v))
			}
		case unix.IFLA_LINKINFO:
			f.parseInfo(v)
		}
	}
	return f, true
}

// parseInfo reads IFLA_LINKINFO.
func (f *found) parseInfo(b []byte) {
	kind, _ := attribute(b, unix.IFLA_INFO_KIND)
	f.kind = unix.ByteSliceToString(kind)
	data, known := attribute(b, unix.IFLA_INFO_DATA)
	if f.kind != tunKind || !known {
		return
	}
	persist, _ := attribute(data, unix.IFLA_TUN_PERSIST)
	f.persistent = len(persist) > 0 && persist[0] != 0
	_, owned := attribute(data, unix.IFLA_TUN_OWNER)
	f.ownerless = !owned
}

// attribute returns the value of the first attribute of a type.
func attribute(b []byte, typ uint16) (value []byte, found bool) {
	for t, v := range rtnl.Attributes(b) {
		if t == typ {
			return v, true
		}
	}
	return nil, false
}
