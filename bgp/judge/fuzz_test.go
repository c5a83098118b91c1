package judge

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

// A script is what a fuzz input says: a session, and what happens in it.
//
// The first octet chooses the session, the second how the stream is cut; then
// come steps of a kind, a length in two octets and so many octets (or what is
// left).
type script struct {
	setup  setup
	chunk  int
	policy Policy
	filter byte // which Policy.Accept it is
	steps  []step
}

type step struct {
	kind byte
	data []byte
}

// Kinds of steps, modulo their number.
const (
	stepUpdate    = iota // withdrawn, attributes and NLRI, each with its length in front
	stepUsual            // NLRI that is announced with the usual attributes and more attributes
	stepMessage          // a type, and a body
	stepRaw              // octets of the stream
	stepPolicy           // another policy
	stepWithdrawn        // Withdrawn Routes
	stepLost             // the connection is lost, and there is another one
	steps
)

func readScript(b []byte) (sc script, ok bool) {
	if len(b) < 2 {
		return sc, false
	}
	x := b[0]
	sc.setup = setup{internal: x&1 != 0, two: x&2 != 0, noIPv4: x&12 == 4, noIPv6: x&12 == 8, noNextHop: x&16 != 0, plain: x&32 != 0}
	sc.chunk = int(b[1]) + 1
	sc.policy, sc.filter = fuzzPolicy(x>>6), x>>6&1
	sc.setup.policy = &sc.policy
	for b = b[2:]; len(b) >= 3; {
		n := min(int(binary.BigEndian.Uint16(b[1:])), len(b)-3)
		sc.steps = append(sc.steps, step{b[0] % steps, b[3 : 3+n]})
		b = b[3+n:]
	}
	return sc, true
}

// fuzzPolicy is one of some policies.
func fuzzPolicy(x byte) Policy {
	p := Policy{Accept: acceptAll}
	if x&1 != 0 {
		p.Accept = func(p netip.Prefix) bool { return p.Bits()%4 != 0 }
	}
	if x&2 != 0 {
		p.MaxPrefixes, p.HardMaxPrefixes = 3, 9
	}
	return p
}

// stream returns the octets of a step.
func (st step) stream(two bool) []byte {
	part := func() []byte {
		if len(st.data) < 2 {
			return nil
		}
		n := min(int(binary.BigEndian.Uint16(st.data)), len(st.data)-2)
		p := st.data[2 : 2+n]
		st.data = st.data[2+n:]
		return p
	}
	fit := func(b []byte, n int) []byte { return b[:min(len(b), n)] }
	switch st.kind {
	case stepUpdate:
		return updateMessage(fit(part(), 1000), fit(part(), 2000), fit(st.data, 1000))
	case stepUsual:
		attrs := unhex(usual)
		if two {
			attrs = unhex(usual2)
		}
		return updateMessage(nil, append(attrs, fit(part(), 3000)...), fit(st.data, 1000))
	case stepMessage:
		if len(st.data) == 0 {
			return nil
		}
		return frame(st.data[0]%8, fit(st.data[1:], 4000))
	case stepWithdrawn:
		return updateMessage(fit(st.data, 4000), nil, nil)
	}
	return st.data
}

// run plays a script with the stream in chunks, and returns what is handed on,
// in the handshake and after it.
func (sc script) run(chunk int) (s *Session, open, out []byte, err error) {
	s = New(sc.setup.config())
	ours, peers := sc.setup.opens()
	s.ToPeer(nil, appendOpen(nil, &ours))
	if open, err = s.FromPeer(nil, append(appendOpen(nil, &peers), frame(typeKeepalive, nil)...)); err != nil {
		panic(err)
	}
	filter := sc.filter
	for _, st := range sc.steps {
		if err != nil {
			break
		}
		if st.kind == stepPolicy {
			var x byte
			if len(st.data) > 0 {
				x = st.data[0]
			}
			var affected func(netip.Prefix) bool
			if x&4 != 0 && x&1 == filter { // then only the limits differ, if anything
				affected = func(p netip.Prefix) bool { return p.Bits()%3 == 0 }
			}
			filter = x & 1
			out, err = s.SetPolicy(out, fuzzPolicy(x), affected)
			continue
		}
		if st.kind == stepLost {
			s, out = sc.again(s, out, st.data)
			continue
		}
		for b := st.stream(sc.setup.two); len(b) > 0 && err == nil; {
			n := min(chunk, len(b))
			out, err = s.FromPeer(out, b[:n])
			b = b[n:]
		}
	}
	return s, open, out, err
}

// again loses the connection, has routes stay or go, and goes on in the next session.
func (sc script) again(s *Session, out, data []byte) (*Session, []byte) {
	var x byte
	if len(data) > 0 {
		x = data[0]
	}
	if s.state != established { // a NOTIFICATION has come
		return s, out
	}
	ours, peers := sc.setup.opens()
	peers.graceful = []byte{0, 60, 0, 1, 1, x << 7, 0, 2, 1, x >> 1 << 7}
	s.peer.graceful = peers.graceful
	if x&4 != 0 {
		s.peer.graceful = peers.graceful[:6]
	}
	out = s.Retain(out)
	next := New(sc.setup.config())
	next.ToPeer(nil, appendOpen(nil, &ours))
	if _, err := next.FromPeer(nil, append(appendOpen(nil, &peers), frame(typeKeepalive, nil)...)); err != nil || !next.Continues(s) {
		panic(err)
	}
	out = next.Resume(out, s)
	if x&8 != 0 {
		out = next.Expire(out)
	}
	return next, out
}

// FuzzSession checks what has to hold whatever a peer sends: what is handed on
// is whole messages that GoBGP reads and takes, in one form that is not changed
// by judging it again, the counts are right, and the way in which the stream is
// cut makes no difference.
func FuzzSession(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		sc, ok := readScript(b)
		if !ok {
			return
		}
		s, open, out, err := sc.run(1 << 20)
		r := sc.setup.reader()
		r.readAll(t, out)
		checkCounts(t, s, r)
		if err != nil {
			checkNotification(t, err)
		}
		out = withoutKeepalives(t, out)

		s2, _, out2, err2 := sc.run(sc.chunk)
		if out2 = withoutKeepalives(t, out2); !bytes.Equal(out, out2) || ended(err) != ended(err2) || s.Counts() != s2.Counts() {
			t.Fatalf("in chunks of %d: %x, %v\nnot %x, %v", sc.chunk, out2, err2, out, err)
		}
		judgeAgain(t, sc, open, out)
	})
}

// judgeAgain judges what was handed on, which must come out as it is.
func judgeAgain(t *testing.T, sc script, open, out []byte) {
	out = ofOneSession(t, out)
	u := sc.setup
	u.policy = nil
	s := New(u.config())
	ours, _ := u.opens()
	s.ToPeer(nil, appendOpen(nil, &ours))
	again, err := s.FromPeer(nil, open)
	if err != nil || !bytes.Equal(again, open) {
		t.Fatalf("the OPEN %x, judged again: %x, %v", open, again, err)
	}
	again, err = s.FromPeer(nil, out)
	if again = withoutKeepalives(t, again); err != nil || !bytes.Equal(again, out) {
		t.Fatalf("%x, judged again: %x, %v", out, again, err)
	}
	if c := s.Counts(); c.Repaired+c.Withdrawn+c.Discarded != 0 || c.Last != "" {
		t.Fatalf("%x, judged again: %+v", out, c)
	}
}

// ofOneSession takes out of what was handed on of several sessions what one of them hands on once: End-of-RIB
// markers, and ROUTE-REFRESHes without an answer.
func ofOneSession(t *testing.T, out []byte) (one []byte) {
	var seen [4]bool
	for _, m := range messages(t, out) {
		known := false
		for i, once := range [len(seen)][]byte{
			endOfRIB(IPv4), endOfRIB(IPv6), frame(typeRefresh, []byte{0, afiIPv4, 0, safiUnicast}), frame(typeRefresh, []byte{0, afiIPv6, 0, safiUnicast}),
		} {
			if bytes.Equal(m, once) {
				known, seen[i] = seen[i], true
			}
		}
		if !known {
			one = append(one, m...)
		}
	}
	return one
}

// FuzzOpen checks the same of OPENs.
func FuzzOpen(f *testing.F) {
	for _, params := range []string{"", "0206" + mp4, "0218" + mp4 + mp6 + as4 + "0200" + "4600" + "0000", "020c400ac0780001018000020180", "0208" + hop46, "0207" + mp6 + "41", "0300"} {
		f.Add(openBody(params))
	}
	f.Add(append(unhex("04fc9a005a0a000002"+"07"+"ff"+"0012"), unhex("020006"+mp6+"020006"+mp4)...))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) < openLen || len(body) > 4000 {
			return
		}
		s := New(setup{}.config())
		out, err := s.FromPeer(nil, frame(typeOpen, body))
		if err != nil {
			return
		}
		if lines := (setup{}).reader().readAll(t, out); len(lines) != 1 || lines[0] != "OPEN" {
			t.Fatalf("%x became %q", body, lines)
		}
		s = New(setup{}.config())
		if again, err := s.FromPeer(nil, out); err != nil || !bytes.Equal(again, out) || s.Counts().Discarded != 0 {
			t.Fatalf("%x, judged again: %x, %v", out, again, err)
		}
		s = New(setup{}.config())
		once := s.ToPeer(nil, frame(typeOpen, body))
		if twice := New(setup{}.config()).ToPeer(nil, once); !bytes.Equal(once, twice) {
			t.Fatalf("%x goes out as %x, then as %x", body, once, twice)
		}
	})
}
