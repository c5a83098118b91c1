package status

import (
	"fmt"
	"slices"
	"strings"
)

// peerColumns are those of the table of peers. Where it is narrow what changes least goes first.
func peerColumns(several, congested bool) []column {
	state := func(best string) func(string) colour {
		return func(cell string) colour {
			if cell == best {
				return good
			}
			return bad
		}
	}
	cols := []column{
		{head: "PEER", least: 8}, {head: "TRANSPORT", drop: 3}, {head: "TUNNEL", paint: state("up")}, {head: "FOR", drop: 6},
		{head: "REMOTE", drop: 4, least: 14}, {head: "RTT", drop: 7},
	}
	if several {
		cols = append(cols, column{head: "SHARE", drop: 5})
	}
	cols = append(cols, column{head: "RX", drop: 2}, column{head: "TX", drop: 2},
		column{head: "BGP ADDRESS", least: 13}, column{head: "BGP", paint: state("established")}, column{head: "FOR"},
		column{head: "RECEIVED", short: "RCVD", drop: 8}, column{head: "ACCEPTED", short: "ACC"}, column{head: "ANNOUNCED", short: "ANN", drop: 9})
	if congested {
		cols = append(cols, column{head: "CONGESTION", drop: 1})
	}
	return cols
}

func (v View) peerTable(b *strings.Builder, s Status) {
	if len(s.Peers) == 0 {
		b.WriteString("no peers: put one file for each into peers.d/ and reload\n")
		return
	}
	now := s.Time.Time
	several := slices.ContainsFunc(s.Peers, func(p Peer) bool { return len(p.Tunnels) > 1 })
	congested := slices.ContainsFunc(s.Peers, func(p Peer) bool {
		return slices.ContainsFunc(tunnels(p), func(t PeerTunnel) bool { return t.Congestion != "" })
	})
	var rows [][]string
	for _, p := range s.Peers {
		for i, u := range tunnels(p) {
			cells := []string{rowName(p, i), transport(u), u.State, since(now, u.Since), u.Remote, rtt(u.RTT)}
			if several {
				cells = append(cells, share(u))
			}
			cells = append(cells, bytes(u.RxBytes), bytes(u.TxBytes), u.BGP.Address, u.BGP.State, since(now, u.BGP.Since),
				fmt.Sprint(u.BGP.Received), fmt.Sprint(u.BGP.Accepted), fmt.Sprint(u.BGP.Announced))
			if congested {
				cells = append(cells, u.Congestion)
			}
			for i, c := range cells {
				cells[i] = orDash(clean(c))
			}
			rows = append(rows, cells)
		}
	}
	columns(b, v, peerColumns(several, congested), rows)
}
