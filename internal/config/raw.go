package config

import "fmt"

// rawRouter is warren.toml as written, before any value is checked.
type rawRouter struct {
	Name      value[string] `toml:"name"`
	ASN       value[int64]  `toml:"asn"`
	RouterID  value[string] `toml:"router_id"`
	Announce  rawAnnounce   `toml:"announce"`
	TLS       rawTLS        `toml:"tls"`
	WireGuard rawWireGuard  `toml:"wireguard"`
	BGP       rawBGP        `toml:"bgp"`
	FIB       rawFIB        `toml:"fib"`
	API       rawAPI        `toml:"api"`
	Log       rawLog        `toml:"log"`
	History   rawHistory    `toml:"history"`

	Accept    rawAccept          `toml:"accept"`
	Templates named[rawTemplate] `toml:"template"`
}

type rawAccept struct {
	CAFile   value[string] `toml:"ca_file"`
	Template value[string] `toml:"template"`
	Names    value[list]   `toml:"names"`
}

type rawAnnounce struct {
	Networks     value[list] `toml:"networks"`
	Redistribute value[list] `toml:"redistribute"`
	Interfaces   value[list] `toml:"interfaces"`
}

type rawTLS struct {
	Listen     value[list]   `toml:"listen"`
	ServerName value[string] `toml:"server_name"`
	Congestion value[string] `toml:"congestion"`
	CertFile   value[string] `toml:"cert_file"`
	KeyFile    value[string] `toml:"key_file"`
}

type rawWireGuard struct {
	ListenPort     value[int64]  `toml:"listen_port"`
	PrivateKeyFile value[string] `toml:"private_key_file"`
}

type rawBGP struct {
	MemoryMax   value[string] `toml:"memory_max"`
	RestartTime value[string] `toml:"restart_time"`
	ClusterID   value[string] `toml:"cluster_id"`
}

type rawFIB struct {
	Table    value[nameOrNumber] `toml:"table"`
	Metric   value[int64]        `toml:"metric"`
	Protocol value[int64]        `toml:"protocol"`
	Source   value[list]         `toml:"source"`

	KeepUnreachable value[bool] `toml:"keep_unreachable"`
}

type rawAPI struct {
	Gobgp  value[string] `toml:"gobgp"`
	HTTP   value[string] `toml:"http"`
	Socket value[string] `toml:"socket"`
}

type rawLog struct {
	Level  value[string] `toml:"level"`
	Format value[string] `toml:"format"`
}

type rawHistory struct {
	File    value[string] `toml:"file"`
	MaxSize value[string] `toml:"max_size"`
}

type rawPeerBGP struct {
	ASN             value[int64] `toml:"asn"`
	Import          value[list]  `toml:"import"`
	Export          value[list]  `toml:"export"`
	MaxPrefixes     value[int64] `toml:"max_prefixes"`
	HardMaxPrefixes value[int64] `toml:"hard_max_prefixes"`

	Unreachable value[boolOrList] `toml:"unreachable"`

	RouteReflectorClient value[bool]  `toml:"route_reflector_client"`
	ASOverride           value[bool]  `toml:"as_override"`
	AllowOwnAS           value[int64] `toml:"allow_own_as"`

	Address      value[string] `toml:"address"`
	Interface    value[string] `toml:"interface"`
	PasswordFile value[string] `toml:"password_file"`
	TTLSecurity  value[bool]   `toml:"ttl_security"`
}

// value is one key of a file: what it was set to, and where, so that a later
// check can say which line to mend.
type value[T any] struct {
	place
	v         T
	state     state
	inherited bool // given, but for the first of a peer's tunnels; see rawTunnel.inherit
	unmeant   bool // given, but in the template of a tunnel that differs from it; see rawTunnel.take
}

// isGiven returns where the key is, and whether it is in the file with the
// right type, for this very table or for one like it.
func (v *value[T]) isGiven() (place, bool) {
	return v.place, v.state == given && !v.inherited && !v.unmeant
}

// state tells what became of a key.
type state int

const (
	absent state = iota // not in the file; place is its table's
	given               // in the file, with the right type
	faulty              // in the file, but already reported as wrong
)

// place is what a mistake is reported against.
type place struct {
	file string
	line int
	key  string // dotted

	template string // the name of the template that the place is in; "": it is in none
	lacking  string // the name of the template that lacks what is absent here too
}

// named returns the same place for another key.
func (p place) named(key string) place {
	p.key = key
	return p
}

// seenFrom names the line, for a message about a place in a file.
func (p place) seenFrom(file string) string {
	if p.file == file {
		return fmt.Sprintf("line %d", p.line)
	}
	return fmt.Sprintf("%s:%d", p.file, p.line)
}

// list is a TOML array of strings, each with its own line.
type list []element

type element struct {
	text string
	line int
}

// texts returns the strings alone.
func (l list) texts() []string {
	texts := make([]string, len(l))
	for i := range l {
		texts[i] = l[i].text
	}
	return texts
}

// nameOrNumber is a string or a whole number, as the text of either.
type nameOrNumber string

// boolOrList is a boolean or a list of strings.
type boolOrList struct {
	yes  bool
	list list
}

// wordOrList is a word that stands for a list, or a list of strings.
type wordOrList struct {
	word string
	list list
}

// settable is what decode fills in: a *value of any type.
type settable interface {
	// put stores what the file says and returns "", or what is wrong with
	// its type.
	put(at place, data any) string
	// leave records that the file does not set the key.
	leave(at place, as state)
}

func (v *value[T]) leave(at place, as state) { v.place, v.state = at, as }

func (v *value[T]) put(at place, data any) string {
	v.place, v.state = at, faulty
	problem := assign(any(&v.v), at.line, data)
	if problem == "" {
		v.state = given
	}
	return problem
}

// assign stores data through target, a pointer to one of the types that a
// value can hold.
func assign(target any, line int, data any) string {
	switch target := target.(type) {
	case *string:
		s, ok := data.(string)
		if !ok {
			return fmt.Sprintf("is %s; it must be a string, in quotes", kind(data))
		}
		*target = s
	case *int64:
		n, ok := data.(int64)
		if !ok {
			return fmt.Sprintf("is %s; it must be a whole number, without quotes", kind(data))
		}
		*target = n
	case *bool:
		b, ok := data.(bool)
		if !ok {
			return fmt.Sprintf("is %s; it must be true or false, without quotes", kind(data))
		}
		*target = b
	case *boolOrList:
		switch data.(type) {
		case bool:
			return assign(&target.yes, line, data)
		case []any:
			return assign(&target.list, line, data)
		default:
			return fmt.Sprintf(`is %s; it must be true, false or a list of strings, such as ["…", "…"]`, kind(data))
		}
	case *wordOrList:
		switch data.(type) {
		case string:
			return assign(&target.word, line, data)
		case []any:
			return assign(&target.list, line, data)
		default:
			return fmt.Sprintf(`is %s; it must be a list of strings, such as ["…", "…"], or a word in quotes`, kind(data))
		}
	case *nameOrNumber:
		switch data.(type) {
		case string, int64:
			*target = nameOrNumber(fmt.Sprint(data))
		default:
			return fmt.Sprintf("is %s; it must be a name in quotes or a whole number", kind(data))
		}
	case *list:
		items, ok := data.([]any)
		if !ok {
			return fmt.Sprintf(`is %s; it must be a list of strings, such as ["…", "…"]`, kind(data))
		}
		for i, item := range items {
			s, ok := item.(string)
			if !ok {
				return fmt.Sprintf("has %s as element %d; each must be a string, in quotes", kind(item), i+1)
			}
			*target = append(*target, element{s, line})
		}
	default:
		panic(fmt.Sprintf("config: no rule to decode a %T", target))
	}
	return ""
}

// kind names the TOML type of a decoded value.
func kind(data any) string {
	switch data.(type) {
	case string:
		return "a string"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case bool:
		return "a boolean"
	case []any, []map[string]any:
		return "a list"
	case map[string]any:
		return "a table"
	default:
		return "a date or time"
	}
}
