package engine

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// A logBook keeps what a speaker logs.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBook) use(c *Config) { c.Logger = slog.New(slog.NewTextHandler(b, nil)) }

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// sessionLines are the lines about sessions so far, without time and duration. Those before a peer's first session are left out: on
// a busy machine attempts may have failed, which is told.
func (b *logBook) sessionLines() []string {
	var lines []string
	begun := map[string]bool{} // by peer
	for line := range strings.Lines(b.String()) {
		peer := regexp.MustCompile(` peer=\S+`).FindString(line)
		begun[peer] = begun[peer] || strings.Contains(line, "BGP session established")
		if begun[peer] && strings.Contains(line, "BGP session") {
			line = regexp.MustCompile(`^time=\S+ | lasted=\S+`).ReplaceAllString(strings.TrimSpace(line), "")
			lines = append(lines, line)
		}
	}
	return lines
}

// want waits for these lines, and for no others.
func (b *logBook) want(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, 40*time.Second, func() string {
		got := b.sessionLines()
		if len(got) < len(want) {
			return strings.Join(got, "\n")
		}
		return ""
	})
	got := b.sessionLines()
	for i, line := range got {
		if i >= len(want) || !strings.Contains(line, want[i]) {
			t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// A session is a line when it is established and one, with the cause, when it
// has ended; the cause makes no line of its own.
func TestSessionsAreLogged(t *testing.T) {
	var bookA, bookB logBook
	a, b := startSpeaker(t, 64512, "10.0.0.1", bookA.use), startSpeaker(t, 64513, "10.0.0.2", bookB.use)
	connect(t, a, b, nil, nil)
	waitState(t, a, "b", stateEstablished)
	waitState(t, b, "a", stateEstablished)
	up := `level=INFO msg="BGP session established" peer=b address=127.`
	bookA.want(t, up)
	bookB.want(t, `level=INFO msg="BGP session established" peer=a address=127.`)
	if !strings.Contains(bookA.sessionLines()[0], " asn=64513 router_id=10.0.0.2") {
		t.Error(bookA.sessionLines())
	}
	if err := b.DeleteNeighbor(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	bookA.want(t, up, `level=WARN msg="BGP session ended" peer=b cause="the peer ended the session: shut down there: the tunnel went down there, or the configuration was changed"`)
	bookB.want(t, "established", `level=INFO msg="BGP session ended" peer=a cause="this router closed it: `)
	if !regexp.MustCompile(`BGP session ended.* lasted=[0-9.]+m?s\n`).MatchString(bookA.String()) {
		t.Errorf("it does not say how long it lasted:\n%s", bookA.String())
	}
}

// The cause is what ended the session, in words, and nothing that is found out
// about the same end later makes another line.
func TestCausesOfTheEnd(t *testing.T) {
	var book logBook
	s := startSpeaker(t, 64512, "10.0.0.1", book.use)
	ends := []struct {
		peer, cause string
		end         func(*rawPeer)
	}{
		{"closes", "the peer closed the connection without saying why", func(p *rawPeer) { p.conn.Close() }},
		{"removed", "the peer ended the session: this router is not configured there any more", func(p *rawPeer) {
			p.write(message(gobgp.BGP_MSG_NOTIFICATION, 21, []byte{6, 3}))
			p.conn.Close()
		}},
		{"malformed", "the peer sent what no session survives: ", func(p *rawPeer) { p.write(message(9, 19, nil)) }},
		{"back", "the peer opened a new session: it had lost this one", func(p *rawPeer) {
			p.vanish()
			takeOver(t, p.addr, statusLocal(p), openMessage(t, 64513, "10.1.0.4", extendedNextHop))
		}},
	}
	for i, c := range ends {
		p := rawSession(t, s, c.peer, 64513, fmt.Sprintf("10.1.0.%d", i+1), nil)
		c.end(p)
	}
	silent := rawQuiet(t, s, "silent", 64513, "10.1.0.9")
	defer silent.conn.Close()
	ends = append(ends, struct {
		peer, cause string
		end         func(*rawPeer)
	}{peer: "silent", cause: "nothing was heard from the peer for 9 s (hold timer expired)"})
	for _, c := range ends {
		of := func() (lines []string) {
			for _, line := range book.sessionLines() {
				if strings.Contains(line, " peer="+c.peer+" ") {
					lines = append(lines, line)
				}
			}
			return lines
		}
		eventually(t, 40*time.Second, func() string {
			if len(of()) < 2 {
				return c.peer + ": " + strings.Join(of(), "\n")
			}
			return ""
		})
		got := of()
		if want := `level=WARN msg="BGP session ended" peer=` + c.peer + ` cause="` + c.cause; !strings.HasPrefix(got[1], want) {
			t.Errorf("got %s\nwant %s", got[1], want)
		}
		for _, line := range got[2:] {
			if strings.Contains(line, c.cause) {
				t.Errorf("said again: %s", line)
			}
		}
	}
}

// statusLocal is the speaker's end of a raw peer's connection.
func statusLocal(p *rawPeer) netip.Addr {
	return p.conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
}

// rawQuiet is a raw peer in a session in which it says nothing more.
func rawQuiet(t *testing.T, s *Speaker, name string, asn uint32, id string) *rawPeer {
	t.Helper()
	local, peer := addRaw(t, s, name, asn, nil)
	p := dialWhenActive(t, s, name, peer, local)
	p.establish(asn, id)
	waitState(t, s, name, stateEstablished)
	return p
}
