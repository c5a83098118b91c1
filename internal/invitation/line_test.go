package invitation

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"warren/internal/config"
	"warren/internal/keys"
)

func someLine() *Line {
	return &Line{
		Remotes: []string{"198.51.100.2:443", "[2001:db8::2]:443", "a.example.net:8443"}, Secret: keys.NewSecret(), Until: time.Unix(2e9, 0).UTC(),
		Inviting: End{"site-a", 64512}, Invited: End{"site-b", 4200000001}, RouterID: netip.MustParseAddr("10.2.0.1"),
		Announced: []string{"10.1.0.0/16", "any"}, Imported: []string{"10.2.0.0/16 le 24", "2001:db8:2::/48"}, Transport: config.TransportTLS,
	}
}

func TestLineComesBack(t *testing.T) {
	l := someLine()
	text := l.String()
	if b, err := encoding.DecodeString(text[7:]); err != nil || bytes.Contains(b, []byte("tls")) {
		t.Errorf("a version before could not read it: %s, %v", b, err)
	}
	over := someLine()
	over.Transport = config.TransportWireGuard
	if got, err := Parse(over.String()); err != nil || !reflect.DeepEqual(got, over) {
		t.Errorf("over WireGuard: %+v, %v", got, err)
	}
	for _, as := range []string{text, strings.ToUpper(text), " " + text[:40] + "\r\n  " + text[40:] + "\n"} {
		got, err := Parse(as)
		if err != nil || !reflect.DeepEqual(got, l) {
			t.Errorf("%q: %+v, %v", as, got, err)
		}
	}
}

// Whatever is cut off, left out, doubled or mistyped is told, and in words that fit.
func TestDamagedLines(t *testing.T) {
	text := someLine().String()
	for i := range text {
		if _, err := Parse(text[:i]); err == nil || i > 7 && !strings.Contains(err.Error(), "cut off") {
			t.Fatalf("cut off at %d: %v", i, err)
		}
		other := byte('a')
		if text[i] == 'a' {
			other = 'b'
		}
		if _, err := Parse(text[:i] + string(other) + text[i+1:]); err == nil {
			t.Fatalf("mistyped at %d and accepted", i)
		}
		if i > 0 && text[i] != text[i-1] {
			if _, err := Parse(text[:i-1] + string(text[i]) + string(text[i-1]) + text[i+1:]); err == nil {
				t.Fatalf("two characters changed places at %d and accepted", i)
			}
		}
	}
	for damaged, want := range map[string]string{
		"":                       "does not begin with warren1",
		"https://example.net":    "does not begin with warren1",
		"warren2" + text[7:]:     "another version",
		text[:20] + "0" + text:   `character '0' cannot be in it, at place 21`,
		text + text:              "",
		text + "aaaaaaaa":        "more than the line",
		strings.Repeat(text, 99): "longer than",
	} {
		if _, err := Parse(damaged); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", damaged, err, want)
		}
	}
}

// seal makes a line of any JSON, as a stranger can.
func seal(text []byte) string {
	b := append(binary.BigEndian.AppendUint16(nil, uint16(len(text))), text...)
	sum := sha256.Sum256(b)
	return mark + version + encoding.EncodeToString(append(b, sum[:sumLen]...))
}

// A line from a stranger is checked as a config is.
func TestHostileLines(t *testing.T) {
	wire := func(change func(*wireLine)) string {
		w := wireLine{
			Remotes: []string{"198.51.100.2:443"}, Secret: keys.NewSecret(), Until: 2e9, From: "site-a", FromASN: 64512, To: "site-b", ToASN: 64513,
			RouterID: "10.2.0.1", Announced: []string{"10.1.0.0/16"}, Imported: []string{"10.2.0.0/16"},
		}
		change(&w)
		text, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		return seal(text)
	}
	if _, err := Parse(wire(func(*wireLine) {})); err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string]string{
		`the name "../../etc/passwd"`:        wire(func(w *wireLine) { w.From = "../../etc/passwd" }),
		`the name "a\nb"`:                    wire(func(w *wireLine) { w.From = "a\nb" }),
		`the name ".hidden"`:                 wire(func(w *wireLine) { w.To = ".hidden" }),
		`the same name`:                      wire(func(w *wireLine) { w.To = w.From }),
		`the AS number 0`:                    wire(func(w *wireLine) { w.FromASN = 0 }),
		`the AS number 4294967808`:           wire(func(w *wireLine) { w.ToASN = 1<<32 + 512 }),
		`no router ID`:                       wire(func(w *wireLine) { w.RouterID = "::1" }),
		`there are 0 addresses`:              wire(func(w *wireLine) { w.Remotes = nil }),
		`there are 9 addresses`:              wire(func(w *wireLine) { w.Remotes = make([]string, 9) }),
		`the address "\"]\nx = [\""`:         wire(func(w *wireLine) { w.Remotes = []string{"\"]\nx = [\""} }),
		`cannot be reached from another`:     wire(func(w *wireLine) { w.Remotes = []string{"127.0.0.1:443"} }),
		`the address "[fe80::1%\x1b[2J]:443`: wire(func(w *wireLine) { w.Remotes = []string{"[fe80::1%\x1b[2J]:443"} }),
		`the secret is none`:                 wire(func(w *wireLine) { w.Secret = w.Secret[:31] }),
		`secret is none`:                     wire(func(w *wireLine) { w.Secret = make([]byte, 32) }),
		`more than 256 prefixes`:             wire(func(w *wireLine) { w.Announced = make([]string, 257) }),
		`the prefix "127.0.0.0/8"`:           wire(func(w *wireLine) { w.Announced = []string{"127.0.0.0/8"} }),
		`the prefix "any"`:                   wire(func(w *wireLine) { w.Imported = []string{"any"} }),
		`the prefix "10.0.0.1/8"`:            wire(func(w *wireLine) { w.Imported = []string{"10.0.0.1/8"} }),
		`the transport "quic" is not one`:    wire(func(w *wireLine) { w.Transport = "quic" }),
		`the transport "auto" is not one`:    wire(func(w *wireLine) { w.Transport = "auto" }),
		`does not know`:                      seal([]byte(`{"at":["198.51.100.2:443"],"more":1}`)),
		`this version of warren does not`:    seal([]byte(`{} {}`)),
		`says something that this version`:   seal([]byte("[" + strings.Repeat("[", 10000))),
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	// What is another way to write a filter is written as usual.
	l, err := Parse(wire(func(w *wireLine) { w.Announced = []string{"10.1.0.0/16\n\tle  24"} }))
	if err != nil || l.Announced[0] != "10.1.0.0/16 le 24" {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestTerm(t *testing.T) {
	l := someLine()
	for at, want := range map[time.Duration]string{-time.Second: "", 0: "ended at", -400 * 24 * time.Hour: "check the clock"} {
		err := l.Expired(l.Until.Add(at))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: %v", at, err)
		}
	}
}

// FuzzParse looks for a line that is accepted and is not what its text says, or that crashes.
func FuzzParse(f *testing.F) {
	f.Add([]byte(someLine().String()), false)
	f.Add([]byte(`{"at":["a:1"],"from":"a","to":"b"}`), true)
	f.Fuzz(func(t *testing.T, text []byte, sealed bool) {
		if sealed && len(text) <= maxJSON {
			text = []byte(seal(text))
		}
		l, err := Parse(string(text))
		if err != nil {
			return
		}
		again, err := Parse(l.String())
		if err != nil || !reflect.DeepEqual(l, again) || bytes.ContainsAny([]byte(l.Inviting.Name+l.Invited.Name+strings.Join(l.Remotes, "")), "/\"\\\n\x1b") {
			t.Fatalf("%+v, %+v, %v", l, again, err)
		}
	})
}
