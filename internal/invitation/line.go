package invitation

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"warren/internal/config"
)

// Line is what an invited router is told. All of it but the checksum is as the inviting end says.
//
// Its text is "warren1" and, in base32 without padding (RFC 4648 section 6, in lower case, so that it survives
// mail, telephones and a double click), 2 bytes that say how long the JSON is, the JSON, and the first 5 bytes of
// the SHA-256 of both.
type Line struct {
	Remotes []string // host:port, where the inviting end is dialed: 1 to MaxRemotes
	Secret  []byte   // config.SecretSize bytes
	Until   time.Time

	Inviting End
	Invited  End
	RouterID netip.Addr // proposed for the invited end, IPv4

	Transport string // config.TransportTLS or config.TransportWireGuard

	Announced []string // filters of what the inviting end announces: what the invited end is to import
	Imported  []string // filters of what the inviting end imports: what the invited end is to announce
}

// End is one of the two routers.
type End struct {
	Name string
	ASN  uint32
}

// Bounds of a line, which is a stranger's until it is checked.
const (
	MaxRemotes = 8
	maxFilters = 256
	maxJSON    = 16 << 10
	maxText    = 2 * maxJSON
	// longestTerm is how far in the future the end of a term may be.
	longestTerm = 366 * 24 * time.Hour
)

const (
	mark     = "warren"
	version  = "1"
	sumLen   = 5
	alphabet = "abcdefghijklmnopqrstuvwxyz234567"
)

var encoding = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// wireLine is the JSON of a Line. A version of the line is what it has: unknown keys are of another one.
type wireLine struct {
	Remotes   []string `json:"at"`
	Secret    []byte   `json:"secret"`
	Until     int64    `json:"until"` // Unix
	From      string   `json:"from"`
	FromASN   int64    `json:"from_as"`
	To        string   `json:"to"`
	ToASN     int64    `json:"to_as"`
	RouterID  string   `json:"id"`
	Announced []string `json:"take"`
	Imported  []string `json:"give"`
	Transport string   `json:"over,omitempty"` // absent: tls, as lines of versions before are
}

// String is the line, in one word.
func (l *Line) String() string {
	w := wireLine{
		l.Remotes, l.Secret, l.Until.Unix(), l.Inviting.Name, int64(l.Inviting.ASN), l.Invited.Name, int64(l.Invited.ASN),
		l.RouterID.String(), l.Announced, l.Imported, "",
	}
	if l.Transport != config.TransportTLS {
		w.Transport = l.Transport
	}
	text, err := json.Marshal(w)
	if err != nil {
		panic("invitation: " + err.Error()) // strings and numbers
	}
	b := append(binary.BigEndian.AppendUint16(nil, uint16(len(text))), text...)
	sum := sha256.Sum256(b)
	return mark + version + encoding.EncodeToString(append(b, sum[:sumLen]...))
}

// Parse reads a line, and checks it as a config is checked. White space is ignored, which mail puts in, and case. The
// error says what to do, and never repeats the secret.
func Parse(text string) (*Line, error) {
	w, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("this is no invitation: %w", err)
	}
	l := &Line{
		Remotes: w.Remotes, Secret: w.Secret, Until: time.Unix(w.Until, 0).UTC(),
		Inviting: End{w.From, uint32(w.FromASN)}, Invited: End{w.To, uint32(w.ToASN)},
		Announced: w.Announced, Imported: w.Imported, Transport: cmp.Or(w.Transport, config.TransportTLS),
	}
	if l.RouterID, err = netip.ParseAddr(w.RouterID); err != nil || !l.RouterID.Is4() {
		return nil, errors.New("the invitation proposes no router ID")
	}
	if err := l.check(w.FromASN, w.ToASN); err != nil {
		return nil, fmt.Errorf("the invitation is whole, and what it says is wrong: %w", err)
	}
	return l, nil
}

// decode takes a line apart.
func decode(text string) (w wireLine, err error) {
	if len(text) > maxText {
		return w, fmt.Errorf("it is longer than %d characters", maxText)
	}
	text = strings.ToLower(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text))
	body, found := strings.CutPrefix(text, mark)
	if !found {
		return w, fmt.Errorf("it does not begin with %s%s; copy the whole line that `warren invite` has printed", mark, version)
	}
	if body, found = strings.CutPrefix(body, version); !found {
		return w, errors.New("it is of another version of warren: have both routers run the same")
	}
	if i := strings.IndexFunc(body, func(r rune) bool { return !strings.ContainsRune(alphabet, r) }); i >= 0 {
		return w, fmt.Errorf("the character %q cannot be in it, at place %d: it was mistyped, or more was copied than the line", []rune(body[i:])[0], len(mark+version)+i+1)
	}
	b, err := encoding.DecodeString(body)
	if cut := errors.New("it is cut off: copy the whole line that `warren invite` has printed"); err != nil || len(b) < 2 {
		return w, cut
	} else if want := 2 + int(binary.BigEndian.Uint16(b)) + sumLen; len(b) < want {
		return w, cut
	} else if len(b) > want {
		return w, errors.New("there is more than the line, or it was mistyped: copy the whole line, and only that")
	}
	payload, sum := b[:len(b)-sumLen], b[len(b)-sumLen:]
	want := sha256.Sum256(payload)
	if !bytes.Equal(sum, want[:sumLen]) || encoding.EncodeToString(b) != body { // bits behind the last byte
		return w, errors.New("it was mistyped or damaged on its way, as its checksum is wrong: copy it again")
	}
	d := json.NewDecoder(bytes.NewReader(payload[2:]))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return w, errors.New("it says something that this version of warren does not know")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return w, errors.New("it says something that this version of warren does not know")
	}
	return w, nil
}

// check applies the rules of a config to each value.
func (l *Line) check(from, to int64) error {
	if err := ParseTransport(l.Transport); err != nil {
		return fmt.Errorf("the transport %q %w", l.Transport, err)
	}
	if len(l.Remotes) == 0 || len(l.Remotes) > MaxRemotes {
		return fmt.Errorf("there are %d addresses of the inviting router; allowed are 1 to %d", len(l.Remotes), MaxRemotes)
	}
	for _, r := range l.Remotes {
		if err := checkRemote(r); err != nil {
			return fmt.Errorf("the address %q %w", r, err)
		}
	}
	if len(l.Secret) != config.SecretSize || bytes.Count(l.Secret, l.Secret[:1]) == len(l.Secret) {
		return errors.New("the secret is none")
	}
	for name, asn := range map[string]int64{l.Inviting.Name: from, l.Invited.Name: to} {
		if err := config.ParseName(name); err != nil {
			return fmt.Errorf("the name %q %w", name, err)
		}
		if err := config.ParseASN(asn); err != nil {
			return fmt.Errorf("the AS number %d %w", asn, err)
		}
	}
	if l.Inviting.Name == l.Invited.Name {
		return errors.New("the two routers have the same name")
	}
	if len(l.Announced) > maxFilters || len(l.Imported) > maxFilters {
		return fmt.Errorf("there are more than %d prefixes", maxFilters)
	}
	return errors.Join(checkFilters(l.Announced, true), checkFilters(l.Imported, false))
}

// checkFilters checks filters, and writes them as they are usually written.
func checkFilters(filters []string, words bool) error {
	for i, text := range filters {
		if words && (text == "any" || text == "default") {
			continue
		}
		f, err := config.ParseFilter(text)
		if err != nil {
			return fmt.Errorf("the prefix %q %w", text, err)
		}
		filters[i] = f.String()
	}
	return nil
}

// checkRemote checks an address to dial, which must mean the same at another machine.
func checkRemote(r string) error {
	if err := config.ParseRemote(r); err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(r)
	if err != nil {
		return err
	}
	if a, err := netip.ParseAddr(host); err == nil && !reachable(a) {
		return errors.New("cannot be reached from another machine")
	}
	return nil
}

// ParseTransport checks over what peers are to be invited. The error completes a sentence that begins with it.
func ParseTransport(s string) error {
	switch s {
	case config.TransportTLS, config.TransportWireGuard:
		return nil
	case config.TransportAuto:
		return fmt.Errorf("is not one over which two routers meet; allowed are %q and %q; when they have met, change transport in both peers' files",
			config.TransportTLS, config.TransportWireGuard)
	}
	return fmt.Errorf("is not one over which two routers meet; allowed are %q and %q", config.TransportTLS, config.TransportWireGuard)
}

// Ports are those at which the inviting end is reached, as firewalls call them: "tcp/443" or "udp/51820".
func (l *Line) Ports() string {
	protocol := "tcp/"
	if l.Transport == config.TransportWireGuard {
		protocol = "udp/"
	}
	var all []string
	for _, r := range l.Remotes {
		if _, port, err := net.SplitHostPort(r); err == nil && !slices.Contains(all, protocol+port) {
			all = append(all, protocol+port)
		}
	}
	return strings.Join(all, " and ")
}

// Expired returns an error if the term is over at a time, or ends later than any that is made.
func (l *Line) Expired(now time.Time) error {
	until := l.Until.Format("2006-01-02 15:04 MST")
	switch {
	case !now.Before(l.Until):
		return fmt.Errorf("the term of this invitation ended at %s: ask %s for another one, or check the clock", until, l.Inviting.Name)
	case l.Until.Sub(now) > longestTerm:
		return fmt.Errorf("the term of this invitation ends at %s, which is too far away: check the clock", until)
	}
	return nil
}
