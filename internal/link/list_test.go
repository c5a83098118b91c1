package link

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"warren/internal/rtnl"
)

// linkMessage is the payload of RTM_NEWLINK; info is what IFLA_LINKINFO has.
func linkMessage(index, flags, master uint32, name string, info []byte) []byte {
	m := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(m[4:], index)
	binary.NativeEndian.PutUint32(m[8:], flags)
	m = rtnl.AppendAttr(m, unix.IFLA_IFNAME, append([]byte(name), 0))
	if master != 0 {
		m = rtnl.AppendUint32(m, unix.IFLA_MASTER, master)
	}
	return rtnl.AppendAttr(m, unix.IFLA_LINKINFO, info)
}

func TestParseInterface(t *testing.T) {
	kind := func(k string, data []byte) []byte {
		b := rtnl.AppendAttr(nil, unix.IFLA_INFO_KIND, append([]byte(k), 0))
		if data != nil {
			b = rtnl.AppendAttr(b, unix.IFLA_INFO_DATA, data)
		}
		return b
	}
	persist := func(is byte) []byte { return rtnl.AppendAttr(nil, unix.IFLA_TUN_PERSIST, []byte{is}) }
	owned := rtnl.AppendUint32(persist(0), unix.IFLA_TUN_OWNER, 0)
	var all []found
	for _, c := range []struct {
		m    []byte
		want found
	}{
		{linkMessage(9, unix.IFF_UP, 0, "blue", kind("vrf", nil)), found{index: 9, name: "blue", kind: "vrf", flags: unix.IFF_UP}},
		{linkMessage(2, 0, 9, "eth0", nil), found{index: 2, name: "eth0", master: 9}},
		{linkMessage(3, 0, 0, "a", kind("tun", persist(1))), found{index: 3, name: "a", kind: "tun", persistent: true, ownerless: true}},
		{linkMessage(4, 0, 2, "b", kind("tun", owned)), found{index: 4, name: "b", kind: "tun", master: 2}},
		{linkMessage(5, 0, 0, "c", kind("tun", nil)), found{index: 5, name: "c", kind: "tun"}},
		{linkMessage(6, 0, 0, "d", kind("other", persist(1))), found{index: 6, name: "d", kind: "other"}},
	} {
		got, ok := parseInterface(c.m)
		if !ok || got != c.want {
			t.Errorf("%+v, %v; want %+v", got, ok, c.want)
		}
		for n := range c.m { // what is cut off is not read beyond its end
			_, _ = parseInterface(c.m[:n:n])
		}
		all = append(all, got)
	}
	if is := interfacesOf(all); !is[2].vrf || is[4].vrf || is[9].vrf || !is[3].persistent || !is[9].up || is[2].up {
		t.Errorf("%+v", is)
	}
}
