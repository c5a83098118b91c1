package config

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const invitedText = peerText + "secret_file = \"new.secret\"\ninvitation_file = \"b.invitation\"\n"

func invitationText(t *testing.T, role Role) string {
	t.Helper()
	return InvitationText(Invitation{Role: role, Until: time.Unix(1e9, 0)}, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
}

// invitedOver is the file of a peer that is invited over a transport.
func invitedOver(transport string) string {
	return strings.Replace(invitedText, "[tunnel]\n", "[tunnel]\ntransport = \""+transport+"\"\n", 1)
}

// What an invited peer is known by follows from which of its two files are there.
func TestInvitedPeer(t *testing.T) {
	for _, transport := range []string{TransportTLS, TransportWireGuard} {
		t.Run(transport, func(t *testing.T) { testInvitedPeer(t, invitedOver(transport)) })
	}
}

func testInvitedPeer(t *testing.T, peer string) {
	files := map[string]string{"peers.d/b.toml": peer, "b.invitation": invitationText(t, RoleInviting)}
	path := setUp(t, routerText+"[wireguard]\nlisten_port = 51820\n", files)
	dir := filepath.Dir(path)
	got := load(t, path).Peers[0].Tunnels[0].Trust
	if i := got.Invitation; len(got.Secrets) != 1 || i == nil || i.Role != RoleInviting || !i.Until.Equal(time.Unix(1e9, 0)) ||
		i.Renewed != filepath.Join(dir, "new.secret") || !bytes.Equal(got.Secrets[0].Secret, i.Secret) || got.Secrets[0].File != i.File {
		t.Errorf("not met: %+v", got)
	}
	other := "HxweHRsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=\n"
	write(t, filepath.Join(dir, "new.secret"), other)
	got = load(t, path).Peers[0].Tunnels[0].Trust
	if len(got.Secrets) != 2 || got.Secrets[0].File != filepath.Join(dir, "new.secret") || got.Invitation == nil {
		t.Errorf("meeting: %+v", got)
	}
	if err := os.Remove(filepath.Join(dir, "b.invitation")); err != nil {
		t.Fatal(err)
	}
	got = load(t, path).Peers[0].Tunnels[0].Trust
	if len(got.Secrets) != 1 || got.Invitation != nil {
		t.Errorf("met: %+v", got)
	}
	// What is kept of it lets nobody in, and only after the invitation is gone.
	used := (&Invitation{File: filepath.Join(dir, "b.invitation"), Until: time.Unix(1e9, 0)}).Used()
	write(t, used.File, InvitationText(*used, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="))
	got = load(t, path).Peers[0].Tunnels[0].Trust
	if len(got.Secrets) != 1 || got.Invitation != nil || got.Used == nil || got.Used.Role != RoleUsed || !got.Used.Until.Equal(time.Unix(1e9, 0)) || got.Used.File != used.File {
		t.Errorf("met, and used: %+v", got)
	}
	if files := load(t, path).KeyFiles("b"); !slices.Contains(files, used.File) {
		t.Errorf("the peer's files are %q", files)
	}
	write(t, filepath.Join(dir, "b.invitation"), invitationText(t, RoleInviting))
	if got = load(t, path).Peers[0].Tunnels[0].Trust; got.Invitation == nil || got.Used != nil {
		t.Errorf("both files: %+v", got)
	}
	if err := os.Remove(filepath.Join(dir, "b.invitation")); err != nil {
		t.Fatal(err)
	}
	write(t, used.File, invitationText(t, RoleInviting))
	mustFail(t, path, `"inviting" is not a role here; allowed is "used"`)
	if err := os.Remove(used.File); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "new.secret")); err != nil {
		t.Fatal(err)
	}
	mustFail(t, path, "new.secret: no such file")
}

func TestWrongInvitations(t *testing.T) {
	good := invitationText(t, RoleJoined)
	for want, c := range map[string][2]string{
		`"host" is not a role`:          {invitedText, strings.Replace(good, "joined", "host", 1)},
		`"soon" is not a time`:          {invitedText, "role = \"joined\"\nuntil = \"soon\"\nsecret = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"\n"},
		"secret: nothing is there":      {invitedText, "role = \"joined\"\nuntil = \"2026-01-01T00:00:00Z\"\n"},
		"peers are invited over one tr": {invitedOver(TransportAuto), good},
		"goes with secret_file only, to": {strings.Replace(peerText, "[tunnel]\n", "[tunnel]\ntransport = \"auto\"\n", 1) + "fingerprint = \"" + strings.Repeat("ab", 32) +
			"\"\npublic_key = \"HxweHRsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=\"\ninvitation_file = \"b.invitation\"\n", good},
		`"used" is not a role here`:  {invitedOver(TransportWireGuard), strings.Replace(good, "joined", "used", 1)},
		"goes with one tunnel":       {strings.Replace(invitedText, "[tunnel]", "[[tunnel]]", 1) + "[[tunnel]]\n", good},
		"goes with secret_file only": {peerText + "fingerprint = \"" + strings.Repeat("ab", 32) + "\"\ninvitation_file = \"b.invitation\"\n", good},
		"with secret_file only, to which": {invitedOver(TransportWireGuard)[:strings.Index(invitedOver(TransportWireGuard), "secret_file")] +
			"public_key = \"HxweHRsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=\"\ninvitation_file = \"b.invitation\"\n", good},
		"goes with one secret_file":     {peerText + "secret_files = [\"a.secret\", \"b.secret\"]\ninvitation_file = \"b.invitation\"\n", good},
		"is the same file as secret_fi": {peerText + "secret_file = \"b.invitation\"\ninvitation_file = \"b.invitation\"\n", good},
	} {
		path := setUp(t, routerText, map[string]string{"peers.d/b.toml": c[0], "b.invitation": c[1]})
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "AAECAw") {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// What is kept of an invitation that was used is known after the peer has gone over to both transports, or has got another
// tunnel, so that it is removed in time.
func TestUsedInvitationStaysKnown(t *testing.T) {
	for name, peer := range map[string]string{
		"auto":        invitedOver(TransportAuto),
		"two tunnels": strings.Replace(invitedOver(TransportWireGuard), "[tunnel]", "[[tunnel]]", 1) + "[[tunnel]]\ntransport = \"wireguard\"\n",
	} {
		path := setUp(t, routerText+"[wireguard]\nlisten_port = 51820\n", map[string]string{
			"peers.d/b.toml": peer, "new.secret": "HxweHRsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=\n",
			"b.invitation.used": invitationText(t, RoleUsed),
		})
		c := load(t, path)
		used := c.Peers[0].UsedInvitations()
		if file := filepath.Join(filepath.Dir(path), "b.invitation.used"); len(used) != 1 || used[0].File != file || !slices.Contains(c.KeyFiles("b"), file) {
			t.Fatalf("%s: used %+v, files %q", name, used, c.KeyFiles("b"))
		}
		next := c.WithoutUsed("b", used[0])
		if len(next.Peers[0].UsedInvitations()) > 0 || len(c.Peers[0].UsedInvitations()) == 0 {
			t.Errorf("%s: not forgotten, or in the config before as well", name)
		}
	}
}

// What would be on the disk is checked without being there.
func TestLoadOver(t *testing.T) {
	path := setUp(t, routerText, map[string]string{"peers.d/a.toml": peerText + "secret_file = \"a.secret\"\n"})
	dir := filepath.Dir(path)
	cfg, err := LoadOver(path, map[string][]byte{
		filepath.Join(dir, "peers.d/b.toml"): []byte(invitedText), filepath.Join(dir, "b.invitation"): []byte(invitationText(t, RoleJoined)),
		filepath.Join(dir, "peers.d/a.toml"): nil,
	})
	if err != nil || len(cfg.Peers) != 1 || cfg.Peers[0].Name != "b" {
		t.Errorf("%+v, %v", cfg, err)
	}
	if _, err := LoadOver(path, map[string][]byte{filepath.Join(dir, "peers.d/b.toml"): []byte("x")}); err == nil {
		t.Error("a wrong file passed")
	}
}

func TestCut(t *testing.T) {
	const text = "# These are all.\n\n# The first.\n[peer.a]\ntemplate = \"t\" # its own\n[peer.a.bgp]\nasn = 1\n\n# The second\n# of three.\n" +
		"[[peer.b.tunnel]]\nsecret_file = \"\"\"\n# no comment\"\"\"\n[[peer.b.tunnel]]\n[peer.b.bgp]\nimport = [\n  \"any\", # all\n]\n\n# The last.\n[peer.c.bgp]\nasn = 3\n# The end.\n"
	for name, want := range map[string][2]string{
		"a": {"[peer.a]\ntemplate = \"t\" # its own\n[peer.a.bgp]\nasn = 1\n", ""},
		"b": {text[strings.Index(text, "[[peer.b"):strings.Index(text, "\n# The last.")], ""},
		"c": {"[peer.c.bgp]\nasn = 3\n", ""},
	} {
		if got, err := Cut(text, name); err != nil || got != strings.Replace(text, want[0], want[1], 1) {
			t.Errorf("without %s: %v\n%s", name, err, got)
		}
	}
	if _, err := Cut("peer.a.bgp.asn = 1\n", "a"); err == nil || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("without a header: %v", err)
	}
}

func TestKeyFiles(t *testing.T) {
	path := setUp(t, routerText, map[string]string{
		"peers.d/a.toml": peerText + "secret_files = [\"a.secret\", \"b.secret\"]\n",
		"peers.d/c.toml": peerText + "secret_file = \"b.secret\"\nlink = 1\n",
	})
	got := load(t, path).KeyFiles("a")
	if len(got) != 1 || got[0] != filepath.Join(filepath.Dir(path), "a.secret") {
		t.Errorf("got %q", got)
	}
}
