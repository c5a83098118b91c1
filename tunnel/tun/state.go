package tun

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// state is what the kernel says of a TUN interface (drivers/net/tun.c, tun_fill_info).
type state struct {
	index    int
	carrier  bool
	persist  bool
	uid, gid int64 // the owner's; -1: any user, any group may attach
	queues   int   // attached, with detached ones; 0 if the interface was made for one
}

// look asks for the interface in the calling thread's namespace. It asks itself rather than
// by netlink.LinkByName, whose Tuntap has 0 both for root and for no owner.
func look(name string) (state, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return state{}, fmt.Errorf("look at %s: %w", name, err)
	}
	if len(messages) != 1 || len(messages[0]) < unix.SizeofIfInfomsg {
		return state{}, fmt.Errorf("look at %s: %d answers", name, len(messages))
	}
	return parseState(messages[0])
}

func parseState(m []byte) (state, error) {
	s := state{index: int(nl.DeserializeIfInfomsg(m).Index), uid: -1, gid: -1}
	attrs, err := nl.ParseRouteAttr(m[unix.SizeofIfInfomsg:])
	if err != nil {
		return s, fmt.Errorf("parse a link: %w", err)
	}
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.IFLA_CARRIER:
			s.carrier = isSet(a.Value)
		case unix.IFLA_LINKINFO:
			info, err := nl.ParseRouteAttr(a.Value)
			if err != nil {
				return s, fmt.Errorf("parse a link: %w", err)
			}
			for _, i := range info {
				if i.Attr.Type == unix.IFLA_INFO_DATA {
					if err := s.parseTUN(i.Value); err != nil {
						return s, fmt.Errorf("parse a link: %w", err)
					}
				}
			}
		}
	}
	return s, nil
}

func (s *state) parseTUN(data []byte) error {
	attrs, err := nl.ParseRouteAttr(data)
	for _, a := range attrs {
		switch a.Attr.Type {
		case nl.IFLA_TUN_OWNER:
			s.uid = number(a.Value)
		case nl.IFLA_TUN_GROUP:
			s.gid = number(a.Value)
		case nl.IFLA_TUN_PERSIST:
			s.persist = isSet(a.Value)
		case nl.IFLA_TUN_NUM_QUEUES, nl.IFLA_TUN_NUM_DISABLED_QUEUES:
			s.queues += int(number(a.Value))
		}
	}
	return err
}

func isSet(b []byte) bool { return len(b) > 0 && b[0] != 0 }

func number(b []byte) int64 {
	if len(b) < 4 {
		return -1
	}
	return int64(nl.NativeEndian().Uint32(b))
}

// deleteLink deletes an interface, whoever is attached to it.
func deleteLink(index int) error {
	return netlink.LinkDel(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}})
}

func rename(from, to string) error {
	s, err := look(from)
	if err != nil {
		return err
	}
	return netlink.LinkSetName(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: s.index}}, to)
}

// setQueueLen sets how many packets wait in each queue of an interface at most. By rtnetlink that takes CAP_NET_ADMIN over the
// network namespace, as in a rootless container; SIOCSIFTXQLEN takes it outside of any user namespace (net/core/dev_ioctl.c).
func setQueueLen(index, packets int) error {
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_TXQLEN, nl.Uint32Attr(uint32(packets))))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
