package engine

import (
	"io"
	"strings"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"warren/bgp"
	"warren/bgp/judge"
)

// TestCommunication has what people at the far end say, which may be anything.
func TestCommunication(t *testing.T) {
	for _, c := range []struct{ data, want string }{
		{"", ""}, {"\x00", ""}, {"\x05hello", "hello"}, {"\x06hello", ""}, {"\x04hello", ""},
		{"\x06h\x1b[2Jo", "h [2Jo"}, {"\x02\xff\xfe", ""}, {"\x05 \n\r\t ", ""}, {"\x03\xc3\xa4!", "ä!"},
		{"\xff" + strings.Repeat("a", 255), strings.Repeat("a", 255)},
	} {
		if is := communication([]byte(c.data)); is != c.want {
			t.Errorf("%q: %q, want %q", c.data, is, c.want)
		}
	}
}

// TestFarewell ends sessions with words, which the other end has in its status before Part returns.
func TestFarewell(t *testing.T) {
	for _, c := range []struct {
		says bgp.Farewell
		want string
	}{
		{bgp.Farewell{Text: "new fiber"}, "the peer ended the session: shut down there: new fiber"},
		{bgp.Farewell{Reset: true, Text: "once more"}, "the peer ended the session: reset there: once more"},
		{bgp.Farewell{}, "the peer ended the session: shut down there: the tunnel went down there, or the configuration was changed"},
	} {
		t.Run(c.want, func(t *testing.T) {
			l := link(t, 64513)
			l.a.edit(func(all map[string]*Neighbor, w *Wanted) {
				delete(all, "b1")
				w.Farewells = map[string]bgp.Farewell{"b1": c.says}
			})
			l.a.Part(t.Context())
			eventually(t, time.Minute, func() string {
				if st := statusOf(l.b, "a1"); st.State == "established" || st.LastError != c.want {
					return st.State + ": " + st.LastError
				}
				return ""
			})
			if st := statusOf(l.a, "b2"); st.State != "established" {
				t.Errorf("the other session is %s", st.State)
			}
		})
	}
}

// TestReaderLeavesAtOnce closes a connection whose peer neither reads nor hangs up. GoBGP, which waits for its reader, would keep the
// session's routes meanwhile.
func TestReaderLeavesAtOnce(t *testing.T) {
	here, _ := connected(t)
	c := &peerConn{wake: make(chan struct{}, 1), over: make(chan struct{})}
	c.tcp.Store(here)
	read := make(chan struct{})
	go func() {
		defer close(read)
		c.buf = make([]byte, smallRead)
		for !c.closed.Load() { // as Read does with deadlines
			if _, err := c.readFrom(here, smallRead); err == nil {
				t.Error("something was read")
			}
		}
	}()
	eventually(t, time.Minute, func() string {
		if c.reading.TryLock() {
			c.reading.Unlock()
			return "nobody reads"
		}
		return ""
	})
	c.closed.Store(true)
	go c.closing(here, time.Hour)
	select {
	case <-read:
	case <-time.After(time.Minute):
		t.Error("the reader waits for the peer")
	}
	here.Close()
	<-c.over
}

// TestFarewellArrives closes a connection on which something is unread, which must not reset it: the peer would
// not read the NOTIFICATION, and take this router for one that restarts.
func TestFarewellArrives(t *testing.T) {
	here, peer := connected(t)
	c := &peerConn{
		wake: make(chan struct{}, 1), over: make(chan struct{}), gone: func(*peerConn) {},
		judge: judge.New(judge.Config{}), open: []byte{},
	}
	c.tcp.Store(here)
	if _, err := peer.Write(keepaliveMessage); err != nil {
		t.Fatal(err)
	}
	notification := (&judge.Notification{Code: gobgp.BGP_ERROR_CEASE, Subcode: gobgp.BGP_ERROR_SUB_ADMINISTRATIVE_SHUTDOWN}).Bytes()
	if _, err := c.Write(notification); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	peer.SetReadDeadline(time.Now().Add(time.Minute))
	got, err := io.ReadAll(peer)
	if err != nil || string(got) != string(notification) {
		t.Errorf("the peer reads %x, %v", got, err)
	}
}
