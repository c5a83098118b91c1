package wireguard

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"warren/tunnel"
	"warren/tunnel/internal/meetingtest"
	"warren/tunnel/wireguard/flow/flowtest"
	"warren/tunnel/wireguard/pathmtu"
	"warren/tunnel/wireguard/protocol"
)

// meeter is an end of an invitation, with the link that it plays the daemon around.
type meeter struct {
	*meetingtest.End
	t      *testing.T
	name   string
	first  bool // of the two key pairs
	remote string
	port   uint16 // 0: another for each process
	dead   time.Duration

	end  *end
	kill func() // the process
}

// invitedEnd makes an end that knows an invitation: the inviting one if there is no remote.
func invitedEnd(t *testing.T, name, remote string) *meeter {
	as := tunnel.Inviting
	if remote != "" {
		as = tunnel.Joined
	}
	g := &meeter{t: t, name: name, first: remote == "", remote: remote, dead: MaxDeadAfter}
	g.End = meetingtest.New(t, name, as, g)
	if remote != "" {
		return g
	}
	for range 100 { // until it is free
		g.port = portOfNobody(t)
		if g.process() == nil {
			g.port = g.end.e.ListenPort()
			return g
		}
	}
	t.Fatal("no port is free")
	return nil
}

// portOfNobody is one that the kernel gives nobody of its own choice: between two processes of an end others may open sockets. 0: there
// is none.
func portOfNobody(t *testing.T) uint16 {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Fatal(err)
	}
	var first int
	if _, err := fmt.Sscan(string(text), &first); err != nil {
		t.Fatal(err)
	}
	const least = 10_000 // more than what only root may open, and what servers have
	if first <= 2*least {
		return 0
	}
	return uint16(least + rand.N(first-least))
}

// process is an endpoint without a link.
func (g *meeter) process() error {
	n := &node{t: g.t, e: NewEndpoint(Config{PrivateKey: protocol.NewPrivateKey()})}
	if err := n.e.SetListenPort(g.port); err != nil {
		return err
	}
	kill := n.run(func(ctx context.Context) error { return n.e.Run(ctx) })
	g.end, g.kill = &end{node: n}, kill
	return nil
}

func (g *meeter) addr() string { return fmt.Sprint("127.0.0.1:", g.port) }

// keysOf are those that come out of secrets.
func keysOf(first bool, secrets ...meetingtest.Secret) (keys []Keys) {
	for _, s := range secrets {
		k := DeriveSecret(s.Key, 0, first)
		if k.Invited = s.Invited; s.Invited != 0 {
			k.Name = "invitation"
		}
		keys = append(keys, k)
	}
	return keys
}

func (g *meeter) Start(secrets []meetingtest.Secret, meets func(tunnel.Meeting)) {
	if g.end == nil || g.end.l != nil {
		if err := g.process(); err != nil {
			g.t.Error(err)
			return
		}
	}
	c := LinkConfig{Name: g.name, Keys: keysOf(g.first, secrets...), Keepalive: 100 * time.Millisecond, DeadAfter: g.dead, Meetings: meets}
	if g.remote != "" {
		c.Remotes = []string{g.remote}
	}
	g.end = g.end.start(c)
}

func (g *meeter) Crash() {
	g.end.stop()
	g.kill()
}

func (g *meeter) Know(secrets []meetingtest.Secret) error {
	return g.end.l.SetKeys(keysOf(g.first, secrets...))
}

func (g *meeter) Says() string { return fmt.Sprintf("%+v", g.end.l.Status()) }

// The two ends replace an invitation's secret, and the tunnel stays up. A router that comes with it later is refused, says why, and
// takes nothing from the first.
func TestMeeting(t *testing.T) {
	host := invitedEnd(t, "host", "")
	first, second := invitedEnd(t, "first", host.addr()), invitedEnd(t, "second", host.addr())
	host.Begin()
	first.Begin()
	host.end.next(true)
	first.end.next(true)
	host.WaitMet(first.End)
	meetingtest.Late(t, second.End)
	if second.end.l.Status().State == tunnel.StateUp {
		t.Errorf("the second router is up: %s", second.Says())
	}
	host.end.reaches(first.end)
	first.end.reaches(host.end)
	host.end.quiet()
	first.end.quiet()
	if all := host.end.e.Refusals(time.Now().Add(-time.Hour)); len(all) != 1 || !strings.Contains(all[0].Reason, "another router has used") {
		t.Errorf("the inviting router says of it %+v", all)
	}
}

// Whenever one of the two crashes, before or after it has stored what a step is about, they come back and meet.
func TestMeetingSurvivesCrashes(t *testing.T) {
	meetingtest.Crashes(t, func(t *testing.T) (host, joining *meetingtest.End) {
		a := invitedEnd(t, "host", "")
		return a.End, invitedEnd(t, "first", a.addr()).End
	})
}

// Two routers come with the same line at the same time: one is let in.
func TestMeetingOfTwo(t *testing.T) {
	t.Parallel()
	host := invitedEnd(t, "host", "")
	first, second := invitedEnd(t, "first", host.addr()), invitedEnd(t, "second", host.addr())
	for _, g := range []*meeter{first, second} {
		g.dead = 3 * time.Second // a session that gave way to the other router's is of no use, which only silence says
	}
	meetingtest.OfTwo(t, host.End, first.End, second.End)
}

// An end that gets no answer says what may have become of the invitation.
func TestNoInvitation(t *testing.T) {
	l := &Link{cfg: watched, known: keysOf(false, meetingtest.Secret{Key: testSecret(), Invited: tunnel.Joined})}
	if got := l.noAnswer(farAddr).Error(); !strings.Contains(got, "no answer from 192.0.2.2:51820") || !strings.Contains(got, "UDP port") || !strings.Contains(got, "term is over") {
		t.Error(got)
	}
}

// invitedStage is a stage for an end of an invitation. Its clock moves only where the test lets it.
func invitedStage(t *testing.T, as tunnel.Invited) (s *stage, steps *[]tunnel.Meeting) {
	t.Helper()
	steps = new([]tunnel.Meeting)
	other, c := tunnel.Joined, LinkConfig{Name: "far", Keepalive: time.Second, DeadAfter: 3 * time.Second}
	if as == tunnel.Joined {
		other, c.Remotes = tunnel.Inviting, watched.Remotes
	}
	c.Keys = keysOf(true, meetingtest.Secret{Key: testSecret(), Invited: as})
	c.Device = flowtest.NewDevice("far")
	c.Meetings = func(m tunnel.Meeting) { *steps = append(*steps, m) }
	s = &stage{t: t, now: time.Now(), key: protocol.NewPrivateKey()}
	s.start = s.now
	s.far = protocol.PeerConfig{Keys: keysOf(false, meetingtest.Secret{Key: testSecret(), Invited: other}), Endpoint: nearAddr, Keepalive: time.Second}
	l, err := NewEndpoint(Config{PrivateKey: protocol.NewPrivateKey()}).AddLink(c)
	if err != nil {
		t.Fatal(err)
	}
	s.l = l
	s.connect()
	s.restart()
	if as == tunnel.Joined {
		s.look()
	}
	s.peer.Initiate(s.now) // does nothing at the inviting end
	s.pass(100 * time.Millisecond)
	if !l.isUp() {
		t.Fatalf("not up: %+v", l.Status())
	}
	return s, steps
}

// told are the secrets that the far end was told since the last call.
func (s *stage) told() (all [][SecretLen]byte) {
	for _, p := range s.arrived {
		if secret, ok := pathmtu.TakeSecret(p); ok {
			all = append(all, secret)
		}
	}
	s.arrived = nil
	return all
}

// with has the near end know a secret beside the invitation's.
func (s *stage) with(as tunnel.Invited, b byte) [SecretLen]byte {
	s.t.Helper()
	own := bytes.Repeat([]byte{b, b + 1}, SecretLen/2)
	if err := s.l.setKeys(s.now, keysOf(true, meetingtest.Secret{Key: own}, meetingtest.Secret{Key: testSecret(), Invited: as})); err != nil {
		s.t.Fatal(err)
	}
	s.pass(0)
	return [SecretLen]byte(own)
}

// A secret is told until it is used, as packets get lost. In another session of the invitation one is told that was made
// for it, not the one of the session before.
func TestSecretIsToldUntilItIsUsed(t *testing.T) {
	s, steps := invitedStage(t, tunnel.Inviting)
	if len(*steps) != 1 || (*steps)[0].Kind != tunnel.MeetingBegun {
		t.Fatalf("steps %v", *steps)
	}
	s.pass(5 * time.Second)
	if told := s.told(); len(told) != 0 || len(*steps) != 1 {
		t.Fatalf("told %v before there is one; steps %v", told, *steps)
	}
	want := s.with(tunnel.Inviting, 1)
	s.pass(3500 * time.Millisecond)
	if told := s.told(); len(told) != 4 || told[0] != want || told[3] != want {
		t.Errorf("told %d times in 3.5 s: %v", len(told), told)
	}
	// Another router, by all that can be told.
	s.pass(time.Second)
	s.told()
	s.restart()
	s.peer.Initiate(s.now)
	s.pass(3 * time.Second)
	if told := s.told(); len(told) != 0 || len(*steps) != 2 || (*steps)[1].Kind != tunnel.MeetingBegun {
		t.Fatalf("in another session: told %v, steps %v", told, *steps)
	}
	want = s.with(tunnel.Inviting, 3)
	if told := s.told(); len(told) != 1 || told[0] != want {
		t.Errorf("told %v", told)
	}
}

// The end that joined goes over to the secret that it was told without the pause that the protocol has between two handshakes, which
// what is over the tunnel would wait for.
func TestToldSecretIsUsedAtOnce(t *testing.T) {
	s, _ := invitedStage(t, tunnel.Joined)
	own := bytes.Repeat([]byte{1, 2}, SecretLen/2)
	if _, err := s.peer.SetKeys(s.now, keysOf(false, meetingtest.Secret{Key: own}, meetingtest.Secret{Key: testSecret(), Invited: tunnel.Inviting})); err != nil {
		t.Fatal(err)
	}
	if got := s.with(tunnel.Joined, 1); !bytes.Equal(got[:], own) {
		t.Fatal("the ends have two secrets")
	}
	if now := s.l.Status(); now.State != tunnel.StateUp || now.KeyPlace != 1 {
		t.Errorf("%+v", now)
	}
}

// What is told counts once, at the end that joined, and in a session of the invitation.
func TestSecretsThatNobodyAskedFor(t *testing.T) {
	secret := [SecretLen]byte{9, 8}
	s, steps := invitedStage(t, tunnel.Joined)
	for range 3 {
		s.l.isTold(secret)
		s.pass(time.Second)
	}
	if len(*steps) != 1 || (*steps)[0].Kind != tunnel.MeetingTold || !bytes.Equal((*steps)[0].Secret, secret[:]) {
		t.Errorf("joined: steps %v", *steps)
	}
	s, steps = invitedStage(t, tunnel.Joined)
	for i := range 100 { // each is written to the disk
		s.l.isTold([SecretLen]byte{9, byte(i)})
		s.pass(10 * time.Millisecond)
	}
	if len(*steps) > 2 {
		t.Errorf("joined, told 100 in a second: %d steps", len(*steps))
	}
	s, steps = invitedStage(t, tunnel.Inviting)
	s.l.isTold(secret)
	s.pass(time.Second)
	if len(*steps) != 1 || (*steps)[0].Kind != tunnel.MeetingBegun {
		t.Errorf("inviting: steps %v", *steps)
	}
	s = newStage(t, watched, time.Second)
	s.l.cfg.Meetings = func(m tunnel.Meeting) { t.Errorf("without an invitation: %v", m) }
	s.l.isTold(secret)
	s.pass(time.Second)
}

// The inviting end has nothing to do for a peer that is silent and that only the peer can call: it waits, and is not busy with that.
func TestInvitingEndWaitsForASilentPeer(t *testing.T) {
	s, _ := invitedStage(t, tunnel.Inviting)
	s.cut = true
	s.pass(time.Hour) // which fails if the link never rests
	if s.l.isUp() {
		t.Error("up")
	}
	s.cut = false
	s.peer.Initiate(s.now)
	s.pass(10 * time.Second)
	if !s.l.isUp() {
		t.Errorf("not up: %+v", s.l.Status())
	}
}

// That the meeting is over is told in each session in which both ends have the invitation still, as what was done for it may have
// failed, and once in each of them.
func TestMeetingOverIsToldInEachSession(t *testing.T) {
	s, steps := invitedStage(t, tunnel.Inviting)
	own := s.with(tunnel.Inviting, 1)
	s.far.Keys = keysOf(false, meetingtest.Secret{Key: own[:]}, meetingtest.Secret{Key: testSecret(), Invited: tunnel.Joined})
	for i := range 2 {
		*steps = nil
		s.restart()
		s.peer.Initiate(s.now)
		s.pass(5 * time.Second)
		if !s.l.isUp() || len(*steps) != 1 || (*steps)[0].Kind != tunnel.MeetingOver || !bytes.Equal((*steps)[0].Secret, own[:]) {
			t.Fatalf("session %d: %+v, steps %v", i, s.l.Status(), *steps)
		}
		s.cut = true
		s.pass(10 * time.Second)
		if s.cut = false; s.l.isUp() {
			t.Fatal("up though nothing passes")
		}
	}
}
