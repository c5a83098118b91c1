package status

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"
)

// Routes is the answer to `warren status --routes`.
type Routes struct {
	Routes []Route `json:"routes"` // by prefix
	More   int     `json:"more"`   // so many others are left out
}

// Route is a prefix that is learned, and the ways to it, best first.
type Route struct {
	Prefix string `json:"prefix"`
	Ways   []Way  `json:"ways"`
}

// Way is one way to a prefix.
type Way struct {
	Peer      string  `json:"peer"`
	Interface string  `json:"interface"`
	Link      int     `json:"link"`
	Weight    int     `json:"weight"`
	State     string  `json:"state"` // WayUsed, WayReserve or WayDown
	Share     float64 `json:"share"` // of the prefix's flows, 0 to 1
}

// What a way is to its prefix.
const (
	WayUsed    = "used"
	WayReserve = "reserve" // it can be used, and others are preferred
	WayDown    = "down"    // its tunnel is
)

// ParseRoutesOf reads what `--routes` is asked about: a prefix, an address, which stands for the
// longest prefix that it is in, or nothing, which is all. The zero prefix is all.
func ParseRoutesOf(text string) (p netip.Prefix, err error) {
	if text == "" {
		return p, nil
	}
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	if p, err = netip.ParsePrefix(text); err != nil {
		return p, fmt.Errorf("%q is neither a prefix, as 10.2.0.0/24, nor an address", text)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%s has bits set behind its length: is %s meant?", p, p.Masked())
	}
	return p, nil
}

// RoutesTable writes routes for people: a line for each way.
func RoutesTable(w io.Writer, r Routes) error {
	if len(r.Routes) == 0 {
		_, err := io.WriteString(w, "no such route is learned from a peer\n")
		return err
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PREFIX\tPEER\tINTERFACE\tSTATE\tSHARE\tWEIGHT")
	for _, route := range r.Routes {
		for _, way := range route.Ways {
			share := "-"
			if way.State == WayUsed {
				share = fmt.Sprintf("%.0f %%", way.Share*100)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\n", clean(route.Prefix), clean(way.Peer), clean(way.Interface), clean(way.State), share, way.Weight)
		}
	}
	_ = t.Flush() // a strings.Builder does not fail
	if r.More > 0 {
		fmt.Fprintf(&b, "%d more: name a prefix or an address\n", r.More)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
