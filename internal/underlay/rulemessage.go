package underlay

import (
	"bytes"
	"encoding/binary"

	"github.com/vishvananda/netlink/nl"

	"warren/internal/rtnl"
)

// Bytes of struct fib_rule_hdr, and its flags.
const (
	frFamily = iota
	frDstLen
	frSrcLen
	frTOS
	frTable
	_
	_
	frAction
	frFlags // four bytes
	frLen   = frFlags + 4

	flagInvert     = 0x2
	flagFindSource = 0x10000
)

// Attributes that the netlink package has no name for (Linux 6.15).
const (
	fraSportMask = 28
	fraDportMask = 29
)

// parseRule decodes the message of a rule.
func parseRule(m []byte) (rule, error) {
	if len(m) < frLen {
		return rule{}, errShort
	}
	attrs, err := parseAttrs(m[frLen:])
	if err != nil {
		return rule{}, err
	}
	r := newRule(0, m[frAction])
	r.tos, r.table = m[frTOS], uint32(m[frTable])
	flags := binary.NativeEndian.Uint32(m[frFlags:])
	r.invert, r.findSource = flags&flagInvert != 0, flags&flagFindSource != 0
	for _, a := range attrs {
		if err := r.take(m, a); err != nil {
			return rule{}, err
		}
	}
	return r, nil
}

// take decodes one attribute of the message m.
func (r *rule) take(m []byte, a attr) error {
	v := a.value
	if want := ruleAttrLen[a.typ]; len(v) < want {
		return errShort
	}
	switch a.typ {
	case nl.FRA_PRIORITY:
		r.priority = binary.NativeEndian.Uint32(v)
	case nl.FRA_TABLE:
		r.table = binary.NativeEndian.Uint32(v)
	case nl.FRA_GOTO:
		r.target = binary.NativeEndian.Uint32(v)
	case nl.FRA_SUPPRESS_PREFIXLEN:
		r.suppressPrefix = int32(binary.NativeEndian.Uint32(v))
	case nl.FRA_SUPPRESS_IFGROUP:
		r.suppressIfgroup = int32(binary.NativeEndian.Uint32(v))
	case nl.FRA_FLOW:
		r.realms = binary.NativeEndian.Uint32(v)
	case nl.FRA_PROTOCOL:
		r.protocol = v[0]
	case nl.FRA_SRC:
		r.from = prefixOf(m[frFamily], v, m[frSrcLen])
	case nl.FRA_DST:
		r.to = prefixOf(m[frFamily], v, m[frDstLen])
	case nl.FRA_IIFNAME:
		r.iif = string(bytes.TrimRight(v, "\x00"))
	case nl.FRA_OIFNAME:
		r.oif = string(bytes.TrimRight(v, "\x00"))
	case nl.FRA_FWMARK:
		r.mark = binary.NativeEndian.Uint32(v)
	case nl.FRA_FWMASK:
		r.mask = binary.NativeEndian.Uint32(v)
	case nl.FRA_TUN_ID:
		r.tunnelID = binary.BigEndian.Uint64(v)
	case nl.FRA_L3MDEV:
		r.l3mdev = v[0] != 0
	case nl.FRA_UID_RANGE:
		r.uids = span{binary.NativeEndian.Uint32(v), binary.NativeEndian.Uint32(v[4:]), true}
	case nl.FRA_IP_PROTO:
		r.ipProto = v[0]
	case nl.FRA_SPORT_RANGE:
		r.sport = portSpan(v)
	case nl.FRA_DPORT_RANGE:
		r.dport = portSpan(v)
	case nl.FRA_PAD:
	case fraSportMask, fraDportMask:
		if len(v) < 2 || binary.NativeEndian.Uint16(v) != 0xffff { // else said by the range
			r.other += string(rtnl.AppendAttr(nil, a.typ, v))
		}
	default:
		r.other += string(rtnl.AppendAttr(nil, a.typ, v))
	}
	return nil
}

// ruleAttrLen is how long the values of attributes are at least, in bytes.
var ruleAttrLen = map[uint16]int{
	nl.FRA_PRIORITY: 4, nl.FRA_TABLE: 4, nl.FRA_GOTO: 4, nl.FRA_SUPPRESS_PREFIXLEN: 4, nl.FRA_SUPPRESS_IFGROUP: 4,
	nl.FRA_FLOW: 4, nl.FRA_PROTOCOL: 1, nl.FRA_FWMARK: 4, nl.FRA_FWMASK: 4, nl.FRA_TUN_ID: 8, nl.FRA_L3MDEV: 1,
	nl.FRA_UID_RANGE: 8, nl.FRA_IP_PROTO: 1, nl.FRA_SPORT_RANGE: 4, nl.FRA_DPORT_RANGE: 4,
}

func portSpan(v []byte) span {
	return span{uint32(binary.NativeEndian.Uint16(v)), uint32(binary.NativeEndian.Uint16(v[2:])), true}
}

// message encodes the rule, without netlink's header.
func (r rule) message(family int) []byte {
	b := make([]byte, frLen, 128)
	b[frFamily], b[frTOS], b[frAction] = uint8(family), r.tos, r.action
	var flags uint32
	if r.invert {
		flags |= flagInvert
	}
	if r.findSource {
		flags |= flagFindSource
	}
	binary.NativeEndian.PutUint32(b[frFlags:], flags)
	number := func(typ uint16, v uint32, set bool) {
		if set {
			b = rtnl.AppendUint32(b, typ, v)
		}
	}
	number(nl.FRA_PRIORITY, r.priority, true)
	number(nl.FRA_TABLE, r.table, r.table != 0)
	number(nl.FRA_GOTO, r.target, r.action == nl.FR_ACT_GOTO)
	number(nl.FRA_SUPPRESS_PREFIXLEN, uint32(r.suppressPrefix), r.suppressPrefix >= 0)
	number(nl.FRA_SUPPRESS_IFGROUP, uint32(r.suppressIfgroup), r.suppressIfgroup >= 0)
	number(nl.FRA_FLOW, r.realms, r.realms != 0)
	number(nl.FRA_FWMARK, r.mark, r.mask != 0)
	number(nl.FRA_FWMASK, r.mask, r.mask != 0)
	if r.protocol != 0 {
		b = rtnl.AppendAttr(b, nl.FRA_PROTOCOL, []byte{r.protocol})
	}
	return r.appendSelectors(b)
}

// appendSelectors appends the selectors but for the mark.
func (r rule) appendSelectors(b []byte) []byte {
	if r.from.IsValid() {
		b[frSrcLen] = uint8(r.from.Bits())
		b = rtnl.AppendAttr(b, nl.FRA_SRC, r.from.Addr().AsSlice())
	}
	if r.to.IsValid() {
		b[frDstLen] = uint8(r.to.Bits())
		b = rtnl.AppendAttr(b, nl.FRA_DST, r.to.Addr().AsSlice())
	}
	if r.iif != "" {
		b = rtnl.AppendAttr(b, nl.FRA_IIFNAME, append([]byte(r.iif), 0))
	}
	if r.oif != "" {
		b = rtnl.AppendAttr(b, nl.FRA_OIFNAME, append([]byte(r.oif), 0))
	}
	if r.tunnelID != 0 {
		b = rtnl.AppendAttr(b, nl.FRA_TUN_ID, binary.BigEndian.AppendUint64(nil, r.tunnelID))
	}
	if r.l3mdev {
		b = rtnl.AppendAttr(b, nl.FRA_L3MDEV, []byte{1})
	}
	if r.uids.set {
		b = rtnl.AppendAttr(b, nl.FRA_UID_RANGE, append(nl.Uint32Attr(r.uids.first), nl.Uint32Attr(r.uids.last)...))
	}
	if r.ipProto != 0 {
		b = rtnl.AppendAttr(b, nl.FRA_IP_PROTO, []byte{r.ipProto})
	}
	if r.sport.set {
		b = rtnl.AppendAttr(b, nl.FRA_SPORT_RANGE, append(nl.Uint16Attr(uint16(r.sport.first)), nl.Uint16Attr(uint16(r.sport.last))...))
	}
	if r.dport.set {
		b = rtnl.AppendAttr(b, nl.FRA_DPORT_RANGE, append(nl.Uint16Attr(uint16(r.dport.first)), nl.Uint16Attr(uint16(r.dport.last))...))
	}
	return append(b, r.other...)
}
