package page

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"warren/internal/history"
	"warren/internal/status"
)

// frame is what viewers are sent at once. What has not changed is left out, but for a viewer that has nothing
// yet.
type frame struct {
	Full    bool              `json:"full,omitempty"` // what the viewer had before does not count any more
	AtMS    int64             `json:"at_ms"`          // when, in milliseconds of a clock that never jumps
	Time    status.Time       `json:"time"`
	UptimeS int64             `json:"uptime_s"`
	Router  json.RawMessage   `json:"router,omitempty"` // status.Router
	FIB     json.RawMessage   `json:"fib,omitempty"`    // status.FIB
	Names   []string          `json:"names,omitzero"`   // of all peers, if they are not as before; may be empty
	Peers   []json.RawMessage `json:"peers,omitempty"`  // shownPeer
	Numbers []json.RawMessage `json:"numbers,omitempty"`
	Events  []history.Event   `json:"events,omitempty"`
	Sampled bool              `json:"sampled,omitempty"` // samples.json has more than before
	Trouble string            `json:"trouble,omitempty"` // why there is nothing else
}

// shownPeer is a peer whose numbers are 0, as they come apart. Its Tunnel and BGP are empty if it has Tunnels.
type shownPeer struct {
	State string      `json:"state"`
	Peer  status.Peer `json:"peer"`
}

// What a peer's State says: all of it works, only a part does, nothing does, or an operator has drained it or
// taken it down, so that it does not matter.
const (
	stateOut  = "out"
	stateUp   = "up"
	statePart = "part"
	stateDown = "down"
)

// numbers are a tunnel's round trip in milliseconds, then received and sent bytes, received and sent
// packets, and dropped packets.
type numbers [6]json.Number

// picture is what the viewers have.
type picture struct {
	taken       time.Time
	uptime      int64
	router, fib []byte
	names       []string
	peers       map[string]shown
}

// shown is a peer as JSON.
type shown struct{ still, numbers []byte }

// update makes s the picture, and returns how it differs from the one before.
func (p *picture) update(s status.Status) frame {
	p.taken, p.uptime = s.Time.Time, s.Router.UptimeS
	f := frame{Time: s.Time, UptimeS: s.Router.UptimeS}
	s.Router.UptimeS = 0
	f.Router = replaced(&p.router, encode(s.Router))
	f.FIB = replaced(&p.fib, encode(s.FIB))
	before := p.peers
	p.peers = make(map[string]shown, len(s.Peers))
	names := make([]string, 0, len(s.Peers))
	for _, peer := range s.Peers {
		old, now := before[peer.Name], show(s, peer)
		if !bytes.Equal(old.still, now.still) {
			f.Peers = append(f.Peers, now.still)
		}
		if !bytes.Equal(old.numbers, now.numbers) {
			f.Numbers = append(f.Numbers, now.numbers)
		}
		p.peers[peer.Name] = now
		names = append(names, peer.Name)
	}
	if before == nil || !slices.Equal(names, p.names) {
		f.Names = names
	}
	p.names = names
	return f
}

// frame is the picture for one who has nothing.
func (p *picture) frame() frame {
	f := frame{Time: status.At(p.taken), UptimeS: p.uptime, Router: p.router, FIB: p.fib, Names: p.names}
	for _, name := range p.names {
		f.Peers = append(f.Peers, p.peers[name].still)
		f.Numbers = append(f.Numbers, p.peers[name].numbers)
	}
	return f
}

// replaced puts text into the place of what was there, and returns it if it is another.
func replaced(old *[]byte, text []byte) json.RawMessage {
	if bytes.Equal(*old, text) {
		return nil
	}
	*old = text
	return text
}

// show takes a peer's numbers apart from the rest.
func show(s status.Status, peer status.Peer) shown {
	of := []any{peer.Name}
	state := stateOf(s, peer)
	tunnels := slices.Clone(peer.Tunnels)
	for i := range tunnels {
		of = append(of, takeNumbers(&tunnels[i].Tunnel))
		tunnels[i].Ways = nil // which have counters too, and are not shown
	}
	if takeNumbers(&peer.Tunnel); len(tunnels) > 0 { // which has both
		peer.Tunnel, peer.BGP = status.Tunnel{}, status.BGP{}
	}
	peer.Tunnels = tunnels
	return shown{still: encode(shownPeer{State: state, Peer: peer}), numbers: encode(of)}
}

func takeNumbers(t *status.Tunnel) numbers {
	n := numbers{json.Number(encode(t.RTT)), number(t.RxBytes), number(t.TxBytes), number(t.RxPackets), number(t.TxPackets), number(t.Drops)}
	t.RTT, t.RxBytes, t.TxBytes, t.RxPackets, t.TxPackets, t.Drops = 0, 0, 0, 0, 0, 0
	t.RxMarked = 0 // which is not shown
	return n
}

func number(n uint64) json.Number { return json.Number(encode(n)) }

// stateOf tells whether a peer works, as `warren status --check` sees it.
func stateOf(s status.Status, p status.Peer) string {
	if p.Out() {
		return stateOut
	}
	s.Peers = []status.Peer{p}
	if len(status.Down(s, p.Name)) == 0 {
		return stateUp
	}
	if len(p.Tunnels) == 0 && works(p.Tunnel, p.BGP) {
		return statePart
	}
	for _, t := range p.Tunnels {
		if works(t.Tunnel, t.BGP) {
			return statePart
		}
	}
	return stateDown
}

func works(t status.Tunnel, b status.BGP) bool { return t.State == "up" && b.State == "established" }

// encode is v as JSON, null if it has none, as a number that is infinite.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		return []byte("null")
	}
	return data
}

// bytes is a frame as a server-sent event.
func (f frame) bytes() []byte {
	return slices.Concat([]byte("data: "), encode(f), []byte("\n\n"))
}
