package agent

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/internal/config"
	"warren/internal/history"
	"warren/internal/keys"
	"warren/tunnel"
)

// overEach runs a test for each transport over which peers are invited.
func overEach(t *testing.T, test func(t *testing.T, transport string)) {
	for _, transport := range []string{config.TransportTLS, config.TransportWireGuard} {
		t.Run(transport, func(t *testing.T) { test(t, transport) })
	}
}

// invitedPeer is a peer b that is known by an invitation for an hour from now on, and by secrets that replace it.
func invitedPeer(transport string, role config.Role, secrets ...string) config.Peer {
	p := secretPeer("b", 0, append(secrets, "b.invitation")...)
	p.Tunnels[0].Transport = transport
	t := &p.Tunnels[0].Trust
	last := t.Secrets[len(t.Secrets)-1]
	t.Invitation = &config.Invitation{
		File: last.File, Secret: last.Secret, Role: role, Until: time.Now().Add(time.Hour), Renewed: "/etc/warren/b.secret",
	}
	return p
}

// withDisk has the world note what is written, and fail as fail says.
func withDisk(fail *error) func(*world) {
	return func(w *world) {
		w.invitations.renew = func(i *config.Invitation, _ [][]byte, _ []byte) error {
			w.note("write %s", i.Renewed)
			return *fail
		}
		w.invitations.forget = func(i *config.Invitation) error { w.note("delete %s", i.File); return *fail }
		w.invitations.lapse = w.invitations.forget
		w.invitations.spend = func(i *config.Invitation) error { w.note("spend %s", i.File); return *fail }
		w.invitations.remove = func(_, peer string, _ *config.Invitation) error { w.note("delete peer %s", peer); return *fail }
	}
}

func (w *world) meets(t *testing.T, m tunnel.Meeting) []string {
	t.Helper()
	mark := len(w.diary)
	w.tunnels.report(t, "b").meeting(m)
	w.turn()
	return w.since(mark)
}

func (w *world) trust() config.Trust { return w.cfg.Peer("b").Tunnels[0].Trust }

// Each step is on the disk before the tunnel does it, so that a crash at any moment leaves what the other end knows.
func TestInvitationIsOnTheDiskFirst(t *testing.T) { overEach(t, testInvitationIsOnTheDiskFirst) }

func testInvitationIsOnTheDiskFirst(t *testing.T, transport string) {
	var fail error
	w := newWorldWith(t, router(invitedPeer(transport, config.RoleInviting)), withDisk(&fail))
	w.up(t, "b")
	expect(t, "begun", w.meets(t, tunnel.Meeting{Kind: tunnel.MeetingBegun}), []string{"write /etc/warren/b.secret", "keys b", "guard [if-b]"})
	first := w.trust().Secrets[0].Secret
	if len(w.trust().Secrets) != 2 || len(first) != config.SecretSize || w.trust().Invitation == nil {
		t.Fatalf("trust %+v", w.trust())
	}
	// In the next session the secret is another one: another router may have the first.
	expect(t, "begun again", w.meets(t, tunnel.Meeting{Kind: tunnel.MeetingBegun}), []string{"write /etc/warren/b.secret", "keys b", "guard [if-b]"})
	second := w.trust().Secrets[0].Secret
	if bytes.Equal(first, second) {
		t.Error("the same secret was made twice")
	}
	expect(t, "over with the first", w.meets(t, tunnel.Meeting{Kind: tunnel.MeetingOver, Secret: first}), nil)
	expect(t, "told", w.meets(t, tunnel.Meeting{Kind: tunnel.MeetingTold, Secret: first}), nil)
	overWireGuard, end := transport == config.TransportWireGuard, "delete"
	if overWireGuard {
		end = "spend"
	}
	expect(t, "over", w.meets(t, tunnel.Meeting{Kind: tunnel.MeetingOver, Secret: second}), []string{end + " /etc/warren/b.invitation", "keys b", "guard [if-b]"})
	if got := w.trust(); len(got.Secrets) != 1 || !bytes.Equal(got.Secrets[0].Secret, second) || got.Invitation != nil || (got.Used != nil) != overWireGuard {
		t.Errorf("trust %+v", got)
	}
	expect(t, "and later", w.meets(t, tunnel.Meeting{Kind: tunnel.MeetingBegun}), nil)
	if !w.tells(history.Invitation, "was used") {
		t.Error("the history does not tell")
	}
}

// A reload that is taken back does not bring an invitation back that was used meanwhile.
func TestGoingBackKeepsWhatAnInvitationBecame(t *testing.T) {
	overEach(t, testGoingBackKeepsWhatAnInvitationBecame)
}

func testGoingBackKeepsWhatAnInvitationBecame(t *testing.T, transport string) {
	var fail error
	before := router(invitedPeer(transport, config.RoleInviting))
	w := newWorldWith(t, before, withDisk(&fail))
	w.up(t, "b")
	next := router(before.Peers[0], peerConfig("c", 1))
	w.tries(t, next)
	w.meets(t, tunnel.Meeting{Kind: tunnel.MeetingBegun})
	secret := w.trust().Secrets[0].Secret
	w.meets(t, tunnel.Meeting{Kind: tunnel.MeetingOver, Secret: secret})
	w.later(2 * time.Minute)
	if w.cfg.Peer("c") != nil {
		t.Fatal("it did not go back")
	}
	if got := w.trust(); len(got.Secrets) != 1 || !bytes.Equal(got.Secrets[0].Secret, secret) || got.Invitation != nil {
		t.Errorf("trust %+v", got)
	}
}

// tells reports whether the history has an event whose cause has a text in it.
func (w *world) tells(k history.Kind, text string) bool {
	events, _, _ := w.history.Select(history.Query{})
	return slices.ContainsFunc(events, func(e history.Event) bool { return e.Kind == k && strings.Contains(e.Cause, text) })
}

func TestJoinedRouterStoresWhatItIsTold(t *testing.T) {
	overEach(t, testJoinedRouterStoresWhatItIsTold)
}

func testJoinedRouterStoresWhatItIsTold(t *testing.T, transport string) {
	var fail error
	w := newWorldWith(t, router(invitedPeer(transport, config.RoleJoined)), withDisk(&fail))
	w.up(t, "b")
	told := bytes.Repeat([]byte{1, 2}, 16)
	expect(t, "begun", w.meets(t, tunnel.Meeting{Kind: tunnel.MeetingBegun}), nil)
	expect(t, "told", w.meets(t, tunnel.Meeting{Kind: tunnel.MeetingTold, Secret: told}), []string{"write /etc/warren/b.secret", "keys b", "guard [if-b]"})
	expect(t, "over", w.meets(t, tunnel.Meeting{Kind: tunnel.MeetingOver, Secret: told}), []string{"delete /etc/warren/b.invitation", "keys b", "guard [if-b]"})
	if got := w.trust(); len(got.Secrets) != 1 || !bytes.Equal(got.Secrets[0].Secret, told) {
		t.Errorf("trust %+v", got)
	}
}

// What cannot be written changes nothing, is shown, and is tried again.
func TestInvitationOnAFullDisk(t *testing.T) { overEach(t, testInvitationOnAFullDisk) }

func testInvitationOnAFullDisk(t *testing.T, transport string) {
	fail := errors.New("no space left")
	w := newWorldWith(t, router(invitedPeer(transport, config.RoleInviting)), withDisk(&fail))
	w.up(t, "b")
	expect(t, "begun", w.meets(t, tunnel.Meeting{Kind: tunnel.MeetingBegun}), []string{"write /etc/warren/b.secret"})
	expect(t, "wrong", w.wrong(), []string{"invitation b"})
	if len(w.trust().Secrets) != 1 {
		t.Errorf("trust %+v", w.trust())
	}
	fail = nil
	w.again()
	expect(t, "wrong then", w.wrong(), nil)
	if len(w.trust().Secrets) != 2 {
		t.Errorf("trust %+v", w.trust())
	}
	// A session that ends begins again with it.
	fail = errors.New("no space left")
	w.meets(t, tunnel.Meeting{Kind: tunnel.MeetingBegun})
	w.down(t, "b")
	mark := len(w.diary)
	w.again()
	if slices.Contains(w.since(mark), "write /etc/warren/b.secret") || len(w.wrong()) > 0 {
		t.Errorf("noted %q, wrong %q", w.since(mark), w.wrong())
	}
}

// A secret that could not be made sure of may be on the disk all the same. The next session's, which is another one, is written
// over it, however often that happens; what is read at a reload is what counts from then on.
func TestSecretThatMayBeOnTheDisk(t *testing.T) {
	fail := errors.New("cannot sync the directory")
	var tries [][]byte // secrets that were to be written
	var had [][][]byte // and those that may be there then
	w := newWorldWith(t, router(invitedPeer(config.TransportTLS, config.RoleInviting)), func(w *world) {
		withDisk(&fail)(w)
		w.invitations.renew = func(_ *config.Invitation, may [][]byte, secret []byte) error {
			tries, had = append(tries, secret), append(had, may)
			return fail
		}
	})
	session := func() {
		w.up(t, "b")
		w.meets(t, tunnel.Meeting{Kind: tunnel.MeetingBegun})
		w.down(t, "b")
		w.again() // which forgets what has failed
	}
	holds := func(all [][]byte, secret []byte) bool {
		return slices.ContainsFunc(all, func(s []byte) bool { return bytes.Equal(s, secret) })
	}
	for range maxTried + 3 {
		session()
	}
	n := len(tries) - 1
	if n != maxTried+2 || !holds(had[1], tries[0]) || !holds(had[2], tries[0]) || !holds(had[2], tries[1]) || holds(had[n], tries[0]) || !holds(had[n], tries[n-1]) {
		t.Fatalf("%d tries; %d may be there at the last", n+1, len(had[n]))
	}
	w.reloads(t, router(invitedPeer(config.TransportTLS, config.RoleInviting)))
	session()
	if last := had[len(had)-1]; holds(last, tries[n]) {
		t.Error("what was tried before a reload is taken for one's own")
	}
	fail = nil
	session()
	if len(w.invitations.tried) > 0 {
		t.Errorf("%d are remembered after a success", len(w.invitations.tried))
	}
}

func TestInvitationExpires(t *testing.T) { overEach(t, testInvitationExpires) }

func testInvitationExpires(t *testing.T, transport string) {
	var fail error
	for name, c := range map[string]struct {
		peer  config.Peer
		up    bool
		noted []string // in this order, among others
		left  int      // secrets; -1: the peer is gone
	}{
		"nobody came":            {invitedPeer(transport, config.RoleInviting), false, []string{"close b", "delete peer b"}, -1},
		"a session is up":        {invitedPeer(transport, config.RoleInviting), true, nil, 1},
		"one came, not seen":     {invitedPeer(transport, config.RoleInviting, "b.secret"), false, []string{"keys b", "delete /etc/warren/b.invitation"}, 1},
		"one came, and is there": {invitedPeer(transport, config.RoleInviting, "b.secret"), true, nil, 2},
		"the end that joined":    {invitedPeer(transport, config.RoleJoined), false, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldWith(t, router(c.peer), withDisk(&fail))
			if c.up {
				w.up(t, "b")
			}
			w.ahead = 59 * time.Minute
			mark := len(w.diary)
			w.retry()
			w.turn()
			expect(t, "before", w.since(mark), nil)
			w.ahead = 61 * time.Minute
			w.retry()
			w.turn()
			at := 0
			for _, line := range w.since(mark) {
				if at < len(c.noted) && line == c.noted[at] {
					at++
				}
			}
			left := -1
			if p := w.cfg.Peer("b"); p != nil {
				left = len(p.Tunnels[0].Trust.Secrets)
			}
			if at < len(c.noted) || left != c.left || w.tells(history.Invitation, "term is over") != (c.noted != nil) {
				t.Errorf("noted %q, %d secrets", w.since(mark), left)
			}
		})
	}
}

// A term that has ended while the daemon was not running counts as well, and nobody is let in first.
func TestInvitationThatExpiredBeforeTheStart(t *testing.T) {
	overEach(t, testInvitationThatExpiredBeforeTheStart)
}

func testInvitationThatExpiredBeforeTheStart(t *testing.T, transport string) {
	var fail error
	p := invitedPeer(transport, config.RoleInviting)
	p.Tunnels[0].Trust.Invitation.Until = time.Now().Add(-time.Second)
	w := newWorldWith(t, router(p), withDisk(&fail))
	if slices.Contains(w.diary, "open b on if-b") || !slices.Contains(w.diary, "delete peer b") {
		t.Errorf("noted %q", w.diary)
	}
}

// While the invitation is there, a secret that was replaced is another router's, whatever file it was in.
func TestInvitedSecretsHaveNoName(t *testing.T) {
	p := invitedPeer(config.TransportTLS, config.RoleJoined, "b.secret")
	got := trust(p.Tunnels[0].Trust).Secrets
	if got[0].Name != "" || got[0].Invited != 0 || got[1].Invited != tunnel.Joined {
		t.Errorf("secrets %+v", got)
	}
	keys := wireguardKeys(p.Tunnels[0])
	if len(keys) != 2 || keys[0].Name != "" || keys[0].Invited != 0 || keys[1].Invited != tunnel.Joined {
		t.Errorf("%d keys", len(keys))
	}
	i := p.Tunnels[0].Trust.Invitation
	for ahead, want := range map[time.Duration]string{0: "", 2 * time.Hour: "the term of the invitation ended"} {
		if hint := invitationHint(i, tunnel.Status{State: tunnel.StateConnecting}, time.Now().Add(ahead)); !strings.HasPrefix(hint, want) || want == "" && hint != "" {
			t.Errorf("hint %q", hint)
		}
	}
}

// Over WireGuard the addresses follow the keys when the two have met, before BGP has begun with others.
func TestAddressesFollowAMeeting(t *testing.T) {
	var fail error
	w := newWorldWith(t, router(invitedPeer(config.TransportWireGuard, config.RoleJoined, "b.secret")), withDisk(&fail))
	w.up(t, "b")
	w.speaker.states = map[string]string{"b": "active"}
	now := tunnel.Status{Local: tunnel.Identity{3}, Peer: tunnel.Identity{4}}
	w.tunnels.says = map[string]tunnel.Status{"b": now}
	noted := w.meets(t, tunnel.Meeting{Kind: tunnel.MeetingOver, Secret: w.trust().Secrets[0].Secret})
	if local, _ := tunnel.Addresses(now.Local, now.Peer, 0); !slices.Contains(noted, "addresses b from "+local.String()) {
		t.Errorf("noted %q", noted)
	}
}

// What is kept of an invitation that was used lets nobody in, is kept across a restart, and is forgotten at the end of the term.
func TestUsedInvitation(t *testing.T) {
	var fail error
	p := invitedPeer(config.TransportWireGuard, config.RoleInviting, "b.secret")
	trust := &p.Tunnels[0].Trust
	trust.Used, trust.Secrets, trust.Invitation = trust.Invitation.Used(), trust.Secrets[:1], nil
	keys := wireguardKeys(p.Tunnels[0])
	if len(keys) != 2 || keys[0].Name != "/etc/warren/b.secret" || keys[1].Invited != tunnel.Used {
		t.Fatalf("%d keys", len(keys))
	}
	w := newWorldWith(t, router(p), withDisk(&fail))
	w.up(t, "b")
	w.ahead = 59 * time.Minute
	mark := len(w.diary)
	w.retry()
	w.turn()
	expect(t, "before the end", w.since(mark), nil)
	w.ahead = 61 * time.Minute
	w.retry()
	w.turn()
	noted := w.since(mark)
	if !slices.Contains(noted, "delete /etc/warren/b.invitation.used") || !slices.Contains(noted, "keys b") || slices.Contains(noted, "close b") || w.trust().Used != nil {
		t.Errorf("noted %q, trust %+v", noted, w.trust())
	}
	mark = len(w.diary)
	w.retry()
	w.turn()
	expect(t, "afterwards", w.since(mark), nil)
}

// Tunnels that the peer has got since forget it as well, be it the first of them that has it or not.
func TestUsedInvitationOfSeveralTunnels(t *testing.T) {
	for name, has := range map[string][]bool{"both": {true, true}, "the second": {false, true}} {
		var fail error
		p := invitedPeer(config.TransportWireGuard, config.RoleInviting, "b.secret")
		trust := &p.Tunnels[0].Trust
		trust.Used, trust.Secrets, trust.Invitation = trust.Invitation.Used(), trust.Secrets[:1], nil
		second := p.Tunnels[0]
		second.Interface, second.Link = "if-b2", 1
		p.Tunnels = append(p.Tunnels, second)
		for i, keeps := range has {
			if !keeps {
				p.Tunnels[i].Trust.Used = nil
			}
		}
		w := newWorldWith(t, router(p), withDisk(&fail))
		w.ahead = 61 * time.Minute
		mark := len(w.diary)
		w.retry()
		w.turn()
		noted := w.since(mark)
		removals := 0
		for _, line := range noted {
			if line == "delete /etc/warren/b.invitation.used" {
				removals++
			}
		}
		if removals != 1 || w.cfg.Peer("b").Tunnels[0].Trust.Used != nil || w.cfg.Peer("b").Tunnels[1].Trust.Used != nil {
			t.Errorf("%s: noted %q", name, noted)
		}
		mark = len(w.diary)
		w.retry()
		w.turn()
		expect(t, name+" afterwards", w.since(mark), nil)
	}
}

// An invitation becomes what tells others that it was used, and after a crash at any moment there is the one or the other.
func TestSpend(t *testing.T) {
	dir := t.TempDir()
	i := &config.Invitation{File: filepath.Join(dir, "b.invitation"), Secret: bytes.Repeat([]byte{1, 2}, 16), Role: config.RoleInviting, Until: time.Now().Add(time.Hour)}
	if err := os.WriteFile(i.File, []byte(config.InvitationText(*i, keys.Text(i.Secret))), 0o600); err != nil {
		t.Fatal(err)
	}
	used := i.Used()
	if err := os.Mkdir(used.File, 0o700); err != nil { // so that it cannot be written
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(used.File, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := spend(i); err == nil {
		t.Fatal("written over a directory")
	}
	if _, err := os.Stat(i.File); err != nil {
		t.Fatalf("the invitation is gone, and nothing says that it was used: %v", err)
	}
	if err := os.RemoveAll(used.File); err != nil {
		t.Fatal(err)
	}
	if err := spend(i); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(used.File)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := os.Stat(i.File); err == nil {
		t.Error("the invitation is still there")
	}
}
