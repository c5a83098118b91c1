package agent

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"warren/internal/config"
	"warren/internal/history"
	"warren/tunnel"
	"warren/tunnel/tlslink"
)

// invitedPeer is a peer b that is known by an invitation for an hour from now on, and by secrets that replace it.
func invitedPeer(role config.Role, secrets ...string) config.Peer {
	p := secretPeer("b", 0, append(secrets, "b.invitation")...)
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
		w.invitations.renew = func(i *config.Invitation, secret []byte) error {
			w.note("write %s", i.Renewed)
			return *fail
		}
		w.invitations.forget = func(i *config.Invitation) error { w.note("delete %s", i.File); return *fail }
		w.invitations.remove = func(_ *config.Config, peer string) error { w.note("delete peer %s", peer); return *fail }
	}
}

func (w *world) meets(t *testing.T, m tlslink.Meeting) []string {
	t.Helper()
	mark := len(w.diary)
	w.tunnels.report(t, "b").meeting(m)
	w.turn()
	return w.since(mark)
}

func (w *world) trust() config.Trust { return w.cfg.Peer("b").Tunnels[0].Trust }

// Each step is on the disk before the tunnel does it, so that a crash at any moment leaves what the other end knows.
func TestInvitationIsOnTheDiskFirst(t *testing.T) {
	var fail error
	w := newWorldWith(t, router(invitedPeer(config.RoleInviting)), withDisk(&fail))
	w.up(t, "b")
	expect(t, "begun", w.meets(t, tlslink.Meeting{Kind: tlslink.MeetingBegun}), []string{"write /etc/warren/b.secret", "keys b", "guard [if-b]"})
	first := w.trust().Secrets[0].Secret
	if len(w.trust().Secrets) != 2 || len(first) != config.SecretSize || w.trust().Invitation == nil {
		t.Fatalf("trust %+v", w.trust())
	}
	// In the next session the secret is another one: another router may have the first.
	expect(t, "begun again", w.meets(t, tlslink.Meeting{Kind: tlslink.MeetingBegun}), []string{"write /etc/warren/b.secret", "keys b", "guard [if-b]"})
	second := w.trust().Secrets[0].Secret
	if bytes.Equal(first, second) {
		t.Error("the same secret was made twice")
	}
	expect(t, "over with the first", w.meets(t, tlslink.Meeting{Kind: tlslink.MeetingOver, Secret: first}), nil)
	expect(t, "told", w.meets(t, tlslink.Meeting{Kind: tlslink.MeetingTold, Secret: first}), nil)
	expect(t, "over", w.meets(t, tlslink.Meeting{Kind: tlslink.MeetingOver, Secret: second}), []string{"delete /etc/warren/b.invitation", "keys b", "guard [if-b]"})
	if got := w.trust(); len(got.Secrets) != 1 || !bytes.Equal(got.Secrets[0].Secret, second) || got.Invitation != nil {
		t.Errorf("trust %+v", got)
	}
	expect(t, "and later", w.meets(t, tlslink.Meeting{Kind: tlslink.MeetingBegun}), nil)
	if !w.tells(history.Invitation, "was used") {
		t.Error("the history does not tell")
	}
}

// A reload that is taken back does not bring an invitation back that was used meanwhile.
func TestGoingBackKeepsWhatAnInvitationBecame(t *testing.T) {
	var fail error
	before := router(invitedPeer(config.RoleInviting))
	w := newWorldWith(t, before, withDisk(&fail))
	w.up(t, "b")
	next := router(before.Peers[0], peerConfig("c", 1))
	w.tries(t, next)
	w.meets(t, tlslink.Meeting{Kind: tlslink.MeetingBegun})
	secret := w.trust().Secrets[0].Secret
	w.meets(t, tlslink.Meeting{Kind: tlslink.MeetingOver, Secret: secret})
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
	var fail error
	w := newWorldWith(t, router(invitedPeer(config.RoleJoined)), withDisk(&fail))
	w.up(t, "b")
	told := bytes.Repeat([]byte{1, 2}, 16)
	expect(t, "begun", w.meets(t, tlslink.Meeting{Kind: tlslink.MeetingBegun}), nil)
	expect(t, "told", w.meets(t, tlslink.Meeting{Kind: tlslink.MeetingTold, Secret: told}), []string{"write /etc/warren/b.secret", "keys b", "guard [if-b]"})
	expect(t, "over", w.meets(t, tlslink.Meeting{Kind: tlslink.MeetingOver, Secret: told}), []string{"delete /etc/warren/b.invitation", "keys b", "guard [if-b]"})
	if got := w.trust(); len(got.Secrets) != 1 || !bytes.Equal(got.Secrets[0].Secret, told) {
		t.Errorf("trust %+v", got)
	}
}

// What cannot be written changes nothing, is shown, and is tried again.
func TestInvitationOnAFullDisk(t *testing.T) {
	fail := errors.New("no space left")
	w := newWorldWith(t, router(invitedPeer(config.RoleInviting)), withDisk(&fail))
	w.up(t, "b")
	expect(t, "begun", w.meets(t, tlslink.Meeting{Kind: tlslink.MeetingBegun}), []string{"write /etc/warren/b.secret"})
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
	w.meets(t, tlslink.Meeting{Kind: tlslink.MeetingBegun})
	w.down(t, "b")
	mark := len(w.diary)
	w.again()
	if slices.Contains(w.since(mark), "write /etc/warren/b.secret") || len(w.wrong()) > 0 {
		t.Errorf("noted %q, wrong %q", w.since(mark), w.wrong())
	}
}

func TestInvitationExpires(t *testing.T) {
	var fail error
	for name, c := range map[string]struct {
		peer  config.Peer
		up    bool
		noted []string // in this order, among others
		left  int      // secrets; -1: the peer is gone
	}{
		"nobody came":            {invitedPeer(config.RoleInviting), false, []string{"close b", "delete peer b"}, -1},
		"a session is up":        {invitedPeer(config.RoleInviting), true, nil, 1},
		"one came, not seen":     {invitedPeer(config.RoleInviting, "b.secret"), false, []string{"keys b", "delete /etc/warren/b.invitation"}, 1},
		"one came, and is there": {invitedPeer(config.RoleInviting, "b.secret"), true, nil, 2},
		"the end that joined":    {invitedPeer(config.RoleJoined), false, nil, 1},
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
	var fail error
	p := invitedPeer(config.RoleInviting)
	p.Tunnels[0].Trust.Invitation.Until = time.Now().Add(-time.Second)
	w := newWorldWith(t, router(p), withDisk(&fail))
	if slices.Contains(w.diary, "open b on if-b") || !slices.Contains(w.diary, "delete peer b") {
		t.Errorf("noted %q", w.diary)
	}
}

// While the invitation is there, a secret that was replaced is another router's, whatever file it was in.
func TestInvitedSecretsHaveNoName(t *testing.T) {
	p := invitedPeer(config.RoleJoined, "b.secret")
	got := trust(p.Tunnels[0].Trust).Secrets
	if got[0].Name != "" || got[0].Invited != 0 || got[1].Invited != tlslink.Joined {
		t.Errorf("secrets %+v", got)
	}
	if hint := invitationHint(p.Tunnels[0].Trust.Invitation, tunnel.Status{State: tunnel.StateConnecting}); hint != "" {
		t.Errorf("hint %q", hint)
	}
}
