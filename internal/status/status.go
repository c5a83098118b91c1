package status

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"warren/internal/history"
)

// Status is the state of a daemon at one moment.
type Status struct {
	Time   Time   `json:"time"` // when it was taken
	Router Router `json:"router"`
	Peers  []Peer `json:"peers"` // by name
	FIB    FIB    `json:"fib"`
}

// Peer returns the peer of that name, if there is one.
func (s Status) Peer(name string) (Peer, bool) {
	for _, p := range s.Peers {
		if p.Name == name {
			return p, true
		}
	}
	return Peer{}, false
}

// Router is the daemon itself.
type Router struct {
	Name     string  `json:"name"`
	ASN      uint32  `json:"asn"`
	RouterID string  `json:"router_id"`
	Version  string  `json:"version"`
	UptimeS  int64   `json:"uptime_s"` // whole seconds since the daemon started
	Speaker  Speaker `json:"speaker"`
	Source   Source  `json:"source"`
	Hints    []Hint  `json:"hints"`

	Conditions []Condition `json:"conditions"` // those that are about no peer

	Drained *Drain `json:"drained,omitempty"` // the whole router is
}

// Speaker is the process that speaks BGP.
type Speaker struct {
	PID       int    `json:"pid"`        // 0: it is about to be started again
	Restarts  int    `json:"restarts"`   // how often it has ended without being told to
	LastError string `json:"last_error"` // why it has the last time; empty: it has not
}

// Source is which addresses the router's own packets into tunnels come from; empty:
// the kernel chooses.
type Source struct {
	IPv4 string `json:"ipv4"`
	IPv6 string `json:"ipv6"`
}

// Hint is what an operator should know, and do something about.
type Hint struct {
	Text string `json:"text"`
	Peer string `json:"peer"` // whom it is about; empty: the router
}

// Condition is something that is wrong and is tried again.
type Condition struct {
	Kind      string `json:"kind"`                // a word that stays the same: "listen_tls"
	Interface string `json:"interface,omitempty"` // of the tunnel that it is about; empty: none
	Since     Time   `json:"since"`
	Tries     int    `json:"tries"` // how often it has failed since then
	Text      string `json:"text"`
}

// Peer is one peer: its tunnels, over each of which it is a neighbor.
type Peer struct {
	Name    string       `json:"name"`
	Tunnel  Tunnel       `json:"tunnel"`  // the first
	BGP     BGP          `json:"bgp"`     // over the first
	Tunnels []PeerTunnel `json:"tunnels"` // all, in the order of the peer's file

	History []history.Event `json:"history,omitempty"` // the last events; the daemon leaves it out

	Drained *Drain     `json:"drained,omitempty"` // by itself or with the whole router; absent: it is not
	Down    *TakenDown `json:"down,omitempty"`    // absent: no operator has taken it down

	Conditions []Condition `json:"conditions"`
}

// PeerTunnel is one of a peer's tunnels.
type PeerTunnel struct {
	Tunnel
	Link     int     `json:"link"`
	Share    float64 `json:"share"`    // of the peer's flows, 0 to 1, as the routes that are learned from it have them
	Carrying bool    `json:"carrying"` // it has a share, and BGP has a session over it
	BGP      BGP     `json:"bgp"`

	// Of a tunnel over two transports (auto): CarriedBy is the one by which this end sends while the tunnel is up, since when and
	// why it does, in words; Ways are both.
	CarriedBy    string    `json:"carried_by,omitempty"`
	CarriedSince *Time     `json:"carried_since,omitempty"`
	CarriedWhy   string    `json:"carried_why,omitempty"`
	Ways         []Carrier `json:"ways,omitempty"`
}

// Tunnel is the link to a peer. The counters count IP packets inside the
// tunnel since the interface was made, and their bytes.
type Tunnel struct {
	Transport string `json:"transport"`          // tls, wireguard, auto, external; lan: the peer is on a network of this host, and there is no tunnel
	Datapath  string `json:"datapath,omitempty"` // kernel: the kernel's WireGuard carries the packets
	Interface string `json:"interface"`
	State     string `json:"state"`  // "up" or what it is doing instead
	Remote    string `json:"remote"` // address and port on the underlay; empty if there is none
	Since     Time   `json:"since"`  // of the state
	RTT       Millis `json:"rtt_ms"` // 0 if not measured
	MTU       int    `json:"mtu"`
	RxBytes   uint64 `json:"rx_bytes"`
	TxBytes   uint64 `json:"tx_bytes"`
	RxPackets uint64 `json:"rx_packets"`
	TxPackets uint64 `json:"tx_packets"`
	Drops     uint64 `json:"drops"`
	LastError string `json:"last_error"` // empty: none
	Flaps     int    `json:"flaps"`      // how often it went down since the daemon started; `warren restart` starts no other
	LastReset Reset  `json:"last_reset"`

	// Key is what the peer is known by in this session: the file of a secret, a fingerprint
	// or a public key. KeyPlace says which of several that is, from 1.
	Key      string `json:"key,omitempty"`
	KeyPlace int    `json:"key_place,omitempty"`

	// PublicKey is the peer's, in base64, and LastHandshake when the last session was agreed on.
	// Both are absent where the transport is neither wireguard nor auto, and as long as they are not known.
	PublicKey     string `json:"public_key,omitempty"`
	LastHandshake *Time  `json:"last_handshake,omitempty"`

	// Congestion is the congestion control that the tunnel's TCP connection uses, as the kernel
	// calls it. It is absent while there is none.
	Congestion string `json:"congestion,omitempty"`

	// ECN says whether the packets that WireGuard sends can be marked by the path, if those inside
	// can, and DSCP is what they have, a number or "copy", absent for 0. RxMarked counts those of
	// RxPackets that the path to here has marked (CE, RFC 3168).
	ECN      bool   `json:"ecn,omitempty"`
	DSCP     string `json:"dscp,omitempty"`
	RxMarked uint64 `json:"rx_marked,omitempty"`
}

// Carrier is one of the transports of a tunnel that has two. The counters are as in Tunnel.
type Carrier struct {
	Transport string   `json:"transport"`
	State     string   `json:"state"`
	Remote    string   `json:"remote"`
	Since     Time     `json:"since"`          // of the state
	RTT       Millis   `json:"rtt_ms"`         // 0 if not measured
	Loss      *float64 `json:"loss,omitempty"` // what part of the packets that this end sent by it lately got lost, 0 to 1; absent if not known
	RxBytes   uint64   `json:"rx_bytes"`
	TxBytes   uint64   `json:"tx_bytes"`
	LastError string   `json:"last_error"`
}

// BGP is the session with a peer. The three numbers count prefixes of both
// families.
type BGP struct {
	Address   string `json:"address"`
	ASN       uint32 `json:"asn"`
	State     string `json:"state"` // of RFC 4271, section 8, in lower case: "established"
	Since     Time   `json:"since"`
	Received  int    `json:"received"`
	Accepted  int    `json:"accepted"`
	Announced int    `json:"announced"`
	LastError string `json:"last_error"`

	// Families are the parts of Received, Accepted, Announced and Refused; absent if all are 0.
	Families Families `json:"families,omitzero"`
	// Refused counts prefixes that pass the import filter and are refused by
	// max_prefixes.
	Refused int `json:"refused"`
	// Stale counts those of Received that the peer has not announced again since its
	// connection was lost, and that are kept for now (RFC 4724).
	Stale int `json:"stale"`
	// What was malformed in the peer's messages and did not end the session (RFC
	// 7606): UPDATEs that were repaired, prefixes that were taken for withdrawn,
	// attributes and prefixes that were left out, and the last case in words.
	Repaired           uint64 `json:"repaired"`
	WithdrawnMalformed uint64 `json:"withdrawn_malformed"`
	Discarded          uint64 `json:"discarded"`
	LastMalformed      string `json:"last_malformed,omitempty"`
	// Looped counts those of Received that are dropped because their routes have been here
	// before, LoopedTotal all that ever were, with the last case in words. Withheld counts
	// prefixes that export lets out to the peer, and that it is not sent because they come
	// from its own AS.
	Looped      int    `json:"looped"`
	LoopedTotal uint64 `json:"looped_total"`
	LastLooped  string `json:"last_looped,omitempty"`
	Withheld    int    `json:"withheld"`
	// Flaps counts how often a session ended since the daemon started (`warren restart` starts no other), LastReset is the last time.
	Flaps     int   `json:"flaps"`
	LastReset Reset `json:"last_reset"`
}

// Families has something of IPv4 and of IPv6.
type Families struct {
	IPv4 Prefixes `json:"ipv4"`
	IPv6 Prefixes `json:"ipv6"`
}

// Prefixes counts those of one family, as BGP does those of both.
type Prefixes struct {
	Received  int `json:"received"`
	Accepted  int `json:"accepted"`
	Announced int `json:"announced"`
	Refused   int `json:"refused"`
}

// Reset is that something that was up went down.
type Reset struct {
	Time  Time   `json:"time"`  // empty: it never has
	Cause string `json:"cause"` // in words
}

// FIB counts the owned routes in the kernel.
type FIB struct {
	IPv4    int `json:"ipv4"`
	IPv6    int `json:"ipv6"`
	Pending int `json:"pending"` // wanted, and not there yet
	Errors  int `json:"errors"`  // refused by the kernel at the last try

	PendingIPv6 int `json:"pending_ipv6,omitempty"` // of Pending; 0 if absent
	ErrorsIPv6  int `json:"errors_ipv6,omitempty"`  // of Errors; 0 if absent
}

// ReloadResult is what a reload did: either changes, one to a line, or the
// mistakes for which nothing was changed. Neither means that the files say what
// is running already.
type ReloadResult struct {
	Changes []string `json:"changes"`
	Errors  []string `json:"errors"`
	// GoesBack is when the daemon goes back to the configuration before, unless that is confirmed; empty:
	// it does not.
	GoesBack Time `json:"goes_back"`
}

// Time is a moment in JSON: RFC 3339 in UTC to the second, or the empty string
// for the zero time, which stands for "never".
type Time struct{ time.Time }

// At makes a Time.
func At(t time.Time) Time { return Time{t} }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte(`""`), nil
	}
	return json.Marshal(t.UTC().Format(time.RFC3339))
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s == "" {
		*t = Time{}
		return nil
	}
	parsed, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return err
	}
	*t = Time{parsed}
	return nil
}

// Millis is a duration that is in JSON a number of milliseconds with at most
// three decimals.
type Millis time.Duration

// MarshalJSON implements json.Marshaler.
func (m Millis) MarshalJSON() ([]byte, error) {
	us := time.Duration(m).Round(time.Microsecond).Microseconds()
	return strconv.AppendFloat(nil, float64(us)/1000, 'f', -1, 64), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Millis) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.Abs(v) > 1e12 {
		return fmt.Errorf("status: %q is not a number of milliseconds", b)
	}
	*m = Millis(math.Round(v * float64(time.Millisecond)))
	return nil
}

// MarshalJSON implements json.Marshaler: a list is never null.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status
	if s.Peers == nil {
		s.Peers = []Peer{}
	}
	return json.Marshal(plain(s))
}

// MarshalJSON implements json.Marshaler: a list is never null.
func (r Router) MarshalJSON() ([]byte, error) {
	type plain Router
	if r.Hints == nil {
		r.Hints = []Hint{}
	}
	if r.Conditions == nil {
		r.Conditions = []Condition{}
	}
	return json.Marshal(plain(r))
}

// MarshalJSON implements json.Marshaler: a list is never null.
func (p Peer) MarshalJSON() ([]byte, error) {
	type plain Peer
	if p.Tunnels == nil {
		p.Tunnels = []PeerTunnel{}
	}
	if p.Conditions == nil {
		p.Conditions = []Condition{}
	}
	return json.Marshal(plain(p))
}

// MarshalJSON implements json.Marshaler: a list is never null.
func (r ReloadResult) MarshalJSON() ([]byte, error) {
	type plain ReloadResult
	if r.Changes == nil {
		r.Changes = []string{}
	}
	if r.Errors == nil {
		r.Errors = []string{}
	}
	return json.Marshal(plain(r))
}
