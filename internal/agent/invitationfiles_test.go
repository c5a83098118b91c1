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
)

const invitingPeer = "[tunnel]\nsecret_file = \"b.secret\"\ninvitation_file = \"b.invitation\"\n[bgp]\nasn = 64513\nimport = []\n"

// invitingSite writes the files of a router that has invited b, and returns their directory and the invitation as it is read.
func invitingSite(t *testing.T) (dir string, i *config.Invitation) {
	t.Helper()
	dir = t.TempDir()
	invitation := config.Invitation{Secret: bytes.Repeat([]byte{1, 2}, 16), Role: config.RoleInviting, Until: time.Now().Add(time.Hour)}
	if err := os.Mkdir(filepath.Join(dir, "peers.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeAt(t, dir, "warren.toml", "name = \"a\"\nasn = 64512\nrouter_id = \"10.0.0.1\"\n[tls]\nlisten = [\"0.0.0.0:443\"]\n")
	writeAt(t, dir, "peers.d/b.toml", invitingPeer)
	writeAt(t, dir, "b.invitation", config.InvitationText(invitation, keys.Text(invitation.Secret)))
	cfg, err := config.Load(filepath.Join(dir, "warren.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return dir, cfg.Peer("b").Invited()
}

func writeAt(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func removeAt(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// filesIn lists the files of a directory but warren.toml, with those of peers.d.
func filesIn(t *testing.T, dir string) (all []string) {
	t.Helper()
	for _, pattern := range []string{"*", "peers.d/*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			if name, _ := filepath.Rel(dir, file); name != "warren.toml" && name != "peers.d" {
				all = append(all, name)
			}
		}
	}
	return all
}

// At the end of a term the files go as they are on the disk by then, and what an operator has made of them since they were
// read stays.
func TestEndOfATermLeavesWhatWasEdited(t *testing.T) {
	secret := string(keys.SecretLine(bytes.Repeat([]byte{3, 4}, 16)))
	extended := config.Invitation{Secret: bytes.Repeat([]byte{1, 2}, 16), Role: config.RoleInviting, Until: time.Now().Add(48 * time.Hour)}
	other := config.Invitation{Secret: bytes.Repeat([]byte{5, 6}, 16), Role: config.RoleInviting, Until: time.Now().Add(time.Hour)}
	const another = "[peer.c.tunnel]\ntransport = \"external\"\ninterface = \"tun7\"\npeer_address = \"10.9.0.2\"\n[peer.c.bgp]\nasn = 64514\nimport = []\n"
	named := strings.NewReplacer("[tunnel]", "[peer.b.tunnel]", "[bgp]", "[peer.b.bgp]").Replace(invitingPeer)
	for name, c := range map[string]struct {
		edit    func(dir string)
		left    []string
		changed bool   // that is said
		fails   string // it is said that this is wrong instead
	}{
		"as it was": {func(string) {}, nil, false, ""},
		"set up by hand": {func(dir string) {
			writeAt(t, dir, "peers.d/b.toml", strings.Replace(invitingPeer, "invitation_file = \"b.invitation\"\n", "", 1))
			writeAt(t, dir, "b.secret", secret)
		}, []string{"b.invitation", "b.secret", "peers.d/b.toml"}, true, ""},
		"with a secret beside it": {func(dir string) { writeAt(t, dir, "b.secret", secret) },
			[]string{"b.invitation", "b.secret", "peers.d/b.toml"}, true, ""},
		"known by something else": {func(dir string) {
			writeAt(t, dir, "peers.d/b.toml", "[tunnel]\ntransport = \"external\"\ninterface = \"tun7\"\npeer_address = \"10.9.0.2\"\n[bgp]\nasn = 64513\nimport = []\n")
		}, []string{"b.invitation", "peers.d/b.toml"}, true, ""},
		"another term": {func(dir string) {
			writeAt(t, dir, "b.invitation", config.InvitationText(extended, keys.Text(extended.Secret)))
		}, []string{"b.invitation", "peers.d/b.toml"}, true, ""},
		"another invitation": {func(dir string) {
			writeAt(t, dir, "b.invitation", config.InvitationText(other, keys.Text(other.Secret)))
		}, []string{"b.invitation", "peers.d/b.toml"}, true, ""},
		"half edited": {func(dir string) { writeAt(t, dir, "peers.d/b.toml", invitingPeer+"[") },
			[]string{"b.invitation", "peers.d/b.toml"}, false, "is not valid TOML"},
		"with another in its file": {func(dir string) { writeAt(t, dir, "peers.d/b.toml", named+another) },
			[]string{"peers.d/b.toml"}, false, ""},
		"in another file": {func(dir string) {
			removeAt(t, dir, "peers.d/b.toml")
			writeAt(t, dir, "peers.d/all.toml", another+named)
		}, []string{"peers.d/all.toml"}, false, ""},
		"with another secret_file": {func(dir string) {
			writeAt(t, dir, "peers.d/c.toml", strings.Replace(invitingPeer, "invitation_file = \"b.invitation\"\n", "", 1))
			writeAt(t, dir, "b.secret", secret)
			writeAt(t, dir, "peers.d/b.toml", strings.Replace(invitingPeer, "b.secret", "b.other.secret", 1))
		}, []string{"b.invitation", "b.secret", "peers.d/b.toml", "peers.d/c.toml"}, true, ""},
		"removed already": {func(dir string) { removeAt(t, dir, "peers.d/b.toml") }, []string{"b.invitation"}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir, i := invitingSite(t)
			c.edit(dir)
			err := removeInvited(filepath.Join(dir, "warren.toml"), "b", i)
			if errors.As(err, new(changedError)) != c.changed || (err != nil) != (c.changed || c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("error %v", err)
			}
			if got := filesIn(t, dir); !slices.Equal(got, c.left) {
				t.Errorf("left are %q, want %q", got, c.left)
			}
			if !slices.Contains(c.left, "b.invitation") && len(c.left) > 0 {
				if next, err := config.Load(filepath.Join(dir, "warren.toml")); err != nil || next.Peer("b") != nil || next.Peer("c") == nil {
					t.Errorf("next is %+v, %v", next, err)
				}
			}
		})
	}
}

// The loop forgets the peer at the end of the term whatever became of its files, and an operator's stay.
func TestTermIsOverByTheDisk(t *testing.T) {
	for edited, left := range map[bool][]string{false: nil, true: {"b.invitation", "b.secret", "peers.d/b.toml"}} {
		dir, _ := invitingSite(t)
		cfg, err := config.Load(filepath.Join(dir, "warren.toml"))
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, cfg)
		if edited {
			writeAt(t, dir, "b.secret", string(keys.SecretLine(bytes.Repeat([]byte{3, 4}, 16))))
			writeAt(t, dir, "peers.d/b.toml", strings.Replace(invitingPeer, "invitation_file = \"b.invitation\"\n", "", 1))
		}
		w.ahead = 61 * time.Minute
		w.retry()
		w.turn()
		if got := filesIn(t, dir); !slices.Equal(got, left) || w.cfg.Peer("b") != nil || !w.tells(history.Invitation, "nobody came: the peer is forgotten") {
			t.Errorf("edited %v: left are %q, peers %v", edited, got, w.cfg.Peers)
		}
	}
}

// A secret that the daemon did not write is not replaced, and an invitation that it has not read is not removed.
func TestMeetingLeavesWhatWasEdited(t *testing.T) {
	dir, i := invitingSite(t)
	first, second, own := bytes.Repeat([]byte{3, 4}, 16), bytes.Repeat([]byte{5, 6}, 16), bytes.Repeat([]byte{7, 8}, 16)
	is := func(name string, want []byte) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, name))
		if got, parsed := config.ParseSecret(data); err != nil || parsed != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is %q, %v", name, data, err)
		}
	}
	had := [][]byte{nil, i.Secret}
	if err := renewSecret(i, had, first); err != nil {
		t.Fatal(err)
	}
	is("b.secret", first)
	if err := renewSecret(i, append(had, first), second); err != nil {
		t.Fatal(err)
	}
	is("b.secret", second)
	writeAt(t, dir, "b.secret", "\n"+keys.Text(own)+"\r\n")
	if err := renewSecret(i, append(had, second), first); !errors.As(err, new(changedError)) {
		t.Errorf("over an operator's secret: %v", err)
	}
	is("b.secret", own)
	writeAt(t, dir, "b.secret", "half a sec")
	if err := renewSecret(i, append(had, second), first); err == nil || strings.Contains(err.Error(), "half") {
		t.Errorf("over what is no secret: %v", err)
	}

	again := config.Invitation{Secret: own, Role: config.RoleInviting, Until: time.Now().Add(time.Hour)}
	extended := config.Invitation{Secret: i.Secret, Role: config.RoleInviting, Until: time.Now().Add(48 * time.Hour)}
	there := func(want bool) {
		t.Helper()
		if got := slices.Contains(filesIn(t, dir), "b.invitation"); got != want || slices.Contains(filesIn(t, dir), "b.invitation.used") {
			t.Errorf("left are %q", filesIn(t, dir))
		}
	}
	writeAt(t, dir, "b.invitation", config.InvitationText(again, keys.Text(again.Secret)))
	for name, end := range map[string]func(*config.Invitation) error{"used": forgetInvitation, "over": lapse, "used, over WireGuard": spend} {
		if err := end(i); !errors.As(err, new(changedError)) {
			t.Errorf("%s, another invitation: %v", name, err)
		}
		there(true)
	}
	// Another term is for who has not come yet.
	writeAt(t, dir, "b.invitation", config.InvitationText(extended, keys.Text(extended.Secret)))
	if err := lapse(i); !errors.As(err, new(changedError)) {
		t.Errorf("another term: %v", err)
	}
	there(true)
	if err := forgetInvitation(i); err != nil {
		t.Error(err)
	}
	there(false)
	for name, end := range map[string]func(*config.Invitation) error{"used": forgetInvitation, "over": lapse} {
		if err := end(i); err != nil {
			t.Errorf("%s, none: %v", name, err)
		}
	}
}
