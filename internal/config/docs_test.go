package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// setUpSection returns the section of docs/set-up.md with that heading.
func setUpSection(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/set-up.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/set-up.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

// TestDocsSeveralLines loads the two ends that docs/set-up.md has of a peer with two tunnels.
func TestDocsSeveralLines(t *testing.T) {
	section := setUpSection(t, "Several lines")
	found := regexp.MustCompile("(?s)```toml\n# (site-[ab]): /etc/warren/(peers.d/\\S+)\n(.*?)```").FindAllStringSubmatch(section, -1)
	if len(found) != 2 {
		t.Fatalf("%d files", len(found))
	}
	for _, m := range found {
		path := shippedCopy(t, "minimal/"+m[1])
		write(t, filepath.Join(filepath.Dir(path), m[2]), m[3])
		tunnels := load(t, path).Peers[0].Tunnels
		if len(tunnels) != 2 || tunnels[0].Link != 0 || tunnels[1].Link != 1 || !tunnels[0].Trust.Equal(tunnels[1].Trust) {
			t.Errorf("%s: %+v", m[1], tunnels)
		}
		if said := load(t, path).Warnings(Host{}, time.Now()); strings.Contains(said.Error(), "peers.d") {
			t.Errorf("%s: %v", m[1], said)
		}
	}
}

// TestDocsManyPeers loads the hub that docs/set-up.md has.
func TestDocsManyPeers(t *testing.T) {
	section := setUpSection(t, "Many peers")
	found := regexp.MustCompile("(?s)```toml\n# hub: /etc/warren/(\\S+)\\b.*?\n(.*?)```").FindAllStringSubmatch(section, -1)
	if len(found) != 2 || found[0][1] != "warren.toml" {
		t.Fatalf("%q", found)
	}
	cfg := load(t, setUp(t, routerText+found[0][2], map[string]string{found[1][1]: found[1][2]}))
	if len(cfg.Peers) != 2 || cfg.Peers[1].Name != "spoke-2" || cfg.Peers[1].BGP.ASN != 64530 || cfg.Peers[1].Tunnels[0].Interface != "spoke-2" {
		t.Errorf("%+v", cfg.Peers)
	}
	if said := cfg.Warnings(Host{}, time.Now()); len(said) > 0 {
		t.Error(said)
	}
}

// TestDocsSpokes loads docs/set-up.md's hub that accepts spokes, and the two ends of an assigned address.
func TestDocsSpokes(t *testing.T) {
	files := func(heading string) [][]string {
		return regexp.MustCompile("(?s)```toml\n# (\\S+): /etc/warren/(\\S+)\n(.*?)```").FindAllStringSubmatch(setUpSection(t, heading), -1)
	}
	accept := files("Spokes that a CA vouches for")
	if len(accept) != 1 || strings.Count(accept[0][3], "\n") > 20 {
		t.Fatalf("%q", accept)
	}
	cfg := load(t, setUp(t, accept[0][3], nil))
	if p, err := cfg.AcceptedPeer("s1.spokes.example.net"); err != nil || p.BGP.ASN != 64530 || !p.BGP.ASOverride {
		t.Errorf("%+v, %v", p, err)
	}
	if said := cfg.Warnings(Host{}, time.Now()); len(said) > 0 {
		t.Error(said)
	}
	ends := files("A spoke's address, kept at the hub")
	if len(ends) != 2 {
		t.Fatalf("%q", ends)
	}
	for i, m := range ends {
		peers := load(t, setUp(t, routerText, map[string]string{m[2]: strings.ReplaceAll(m[3], "spoke-1.secret", "a.secret")})).Peers
		if tunnel := peers[0].Tunnels[0]; tunnel.Assigned != (i == 1) || len(tunnel.Assign) != 2*(1-i) {
			t.Errorf("%s: %+v", m[2], tunnel)
		}
	}
}

// TestDocsHaveKeysThatExist reads each piece of configuration in the documents, whole files and parts of them: it has no
// other keys than warren.toml or a peer's file, of their types.
func TestDocsHaveKeysThatExist(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pieces := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("(?ms)^( *)```toml\n(.*?)^ *```").FindAllStringSubmatch(string(text), -1) {
			pieces++
			piece := strings.ReplaceAll("\n"+m[2], "\n"+m[1], "\n")
			ofRouter, ofPeer := &loader{}, &loader{}
			ofRouter.decode(page, []byte(piece), &rawRouter{})
			ofPeer.decode(page, []byte(piece), &rawPeerFile{})
			if len(ofRouter.errs) > 0 && len(ofPeer.errs) > 0 {
				t.Errorf("neither of warren.toml:\n%v\nnor of a peer's file:\n%v\nin %s:\n%s", ofRouter.errs, ofPeer.errs, page, piece)
			}
		}
	}
	if pieces < 40 {
		t.Errorf("only %d pieces were found", pieces)
	}
}
