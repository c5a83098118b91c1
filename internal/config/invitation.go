package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Role says at which end of an invitation a router is.
type Role string

// The roles of the two routers that meet by an invitation.
const (
	RoleInviting Role = "inviting" // it has made the invitation, and makes the secret that replaces it
	RoleJoined   Role = "joined"   // it was given the invitation
	// RoleUsed is that of the inviting end when the invitation was used: until the term is over it tells whoever comes with it
	// that it was.
	RoleUsed Role = "used"
)

// Invitation is what a peer is known by until the two routers have met and have a secret of their own.
type Invitation struct {
	File   string // absolute; whoever has removed it has used the invitation up
	Secret Secret // SecretSize bytes
	Role   Role
	Until  time.Time // from then on the inviting end does not know the peer any more if it never came

	// Renewed is the file of the secret that takes the invitation's place, absolute. While it is not
	// there Trust.Secrets has the invitation's alone.
	Renewed string
}

// Equal reports whether i and o are the same invitation, or both none.
func (i *Invitation) Equal(o *Invitation) bool {
	if i == nil || o == nil {
		return i == o
	}
	return i.File == o.File && bytes.Equal(i.Secret, o.Secret) && i.Role == o.Role && i.Until.Equal(o.Until) && i.Renewed == o.Renewed
}

// SameSecret reports whether o lets in whom i does, whatever its term.
func (i *Invitation) SameSecret(o *Invitation) bool { return bytes.Equal(i.Secret, o.Secret) }

// OnDisk returns what the file of i holds by now, where an operator may have changed it since i was read; nil: it is gone.
func (i *Invitation) OnDisk() (*Invitation, error) {
	l := &loader{}
	now, ok := l.invitation(place{file: i.File}, i.File, RoleInviting, RoleJoined, RoleUsed)
	if !ok {
		l.finish()
		return nil, l.errs
	}
	if now != nil {
		now.Renewed = i.Renewed
	}
	return now, nil
}

// Used is what is kept of an invitation when it was used. It is in a file beside that of the invitation, which is gone by then.
func (i *Invitation) Used() *Invitation {
	return &Invitation{File: i.File + usedSuffix, Secret: i.Secret, Role: RoleUsed, Until: i.Until}
}

// usedSuffix is what follows invitation_file in the name of the file that Used is in.
const usedSuffix = ".used"

// InvitationText is the contents of an invitation file, which a config is loaded with.
func InvitationText(i Invitation, secret string) string {
	head := "# An invitation, which a peer's file names by invitation_file. It holds a secret. The daemon removes it\n" +
		"# when the two routers have met and have another secret."
	if i.Role == RoleUsed {
		head = "# An invitation that was used. Whoever comes with it is told so by the daemon, which removes this file at the\n" +
			"# end of the term, as long as the peer's file names the invitation by invitation_file. Remove this file with that line."
	}
	return fmt.Sprintf("%s\nrole   = %q\nuntil  = %q\nsecret = %q\n", head, i.Role, i.Until.UTC().Format(time.RFC3339), secret)
}

// rawInvitation is an invitation file as written.
type rawInvitation struct {
	Role   value[string] `toml:"role"`
	Until  value[string] `toml:"until"`
	Secret value[string] `toml:"secret"`
}

// invitation reads the file of one, in which it has one of some roles. at names it. It returns nil if there is none, as it was used up, and
// false if it is wrong, which has been reported.
func (l *loader) invitation(at place, file string, roles ...Role) (*Invitation, bool) {
	data, err := l.read(file, private)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true
	}
	if err != nil {
		l.fail(at, "%s: %v", file, err)
		return nil, false
	}
	var raw rawInvitation
	before := len(l.errs)
	if !l.decode(file, data, &raw) || len(l.errs) > before {
		return nil, false
	}
	i := &Invitation{File: file, Role: Role(raw.Role.v)}
	if !slices.Contains(roles, i.Role) {
		l.fail(raw.Role.place, "%q is not a role here; allowed is %s", i.Role, quotedRoles(roles))
	}
	if i.Until, err = time.Parse(time.RFC3339, raw.Until.v); err != nil {
		l.fail(raw.Until.place, "%q is not a time such as 2026-01-31T18:00:00Z", raw.Until.v)
	}
	if i.Secret, err = parseKey([]byte(raw.Secret.v), "as `warren invite` makes it"); err != nil {
		l.fail(raw.Secret.place, "%v", err) // which does not repeat it
	}
	return i, len(l.errs) == before
}

func quotedRoles(roles []Role) string {
	quoted := make([]string, len(roles))
	for i, r := range roles {
		quoted[i] = strconv.Quote(string(r))
	}
	return strings.Join(quoted, " or ")
}

// invitedTrust reads how a peer is known that was invited: by the secret that the two routers have made,
// if they have, and by that of the invitation, while it is there.
func (l *loader) invitedTrust(raw *rawTunnel, secrets value[list]) Trust {
	if len(secrets.v) != 1 {
		l.fail(raw.InvitationFile.place, "goes with one secret_file, to which the secret is written that replaces the invitation's")
		return Trust{}
	}
	at, file := raw.InvitationFile.place, l.resolve(raw.InvitationFile.v)
	i, ok := l.invitation(at, file, RoleInviting, RoleJoined)
	if !ok {
		return Trust{}
	}
	if i == nil {
		t := l.trustSecrets(secrets)
		if used, ok := l.invitation(at, file+usedSuffix, RoleUsed); ok && t.Method != 0 {
			t.Used = used
		}
		return t
	}
	i.Renewed = l.resolve(secrets.v[0].text)
	if i.Renewed == i.File {
		l.fail(raw.InvitationFile.place, "is the same file as secret_file; name another for each")
		return Trust{}
	}
	own := SharedSecret{File: i.File, Secret: i.Secret}
	if _, err := l.read(i.Renewed, private); errors.Is(err, fs.ErrNotExist) {
		return Trust{Method: TrustSecret, Secrets: []SharedSecret{own}, Invitation: i}
	}
	t := l.trustSecrets(secrets)
	if t.Method == 0 {
		return t
	}
	if t.Invitation = i; bytes.Equal(t.Secrets[0].Secret, i.Secret) {
		t.Secrets = nil
	}
	t.Secrets = append(t.Secrets, own)
	return t
}

// checkInvited makes sure that an invited peer has one tunnel while it is known by the invitation.
func (l *loader) checkInvited(d draft) {
	for _, t := range d.peer.Tunnels {
		if t.Trust.Invitation != nil && len(d.peer.Tunnels) > 1 {
			l.fail(d.raw.Tunnels.v[0].InvitationFile.place, "goes with one tunnel: add the others when the two routers have met, and %s is gone", t.Trust.Invitation.File)
			return
		}
	}
}

// UsedInvitations returns the invitations by which a peer has come and that others are refused with, each once. Tunnels that were
// added since have that of the peer's file as well, or one of their own.
func (p *Peer) UsedInvitations() (all []*Invitation) {
	for i := range p.Tunnels {
		used := p.Tunnels[i].Trust.Used
		if used != nil && !slices.ContainsFunc(all, used.Equal) {
			all = append(all, used)
		}
	}
	return all
}

// Invited returns the invitation by which a peer is known; nil if it is known by none.
func (p *Peer) Invited() *Invitation {
	if len(p.Tunnels) == 0 {
		return nil
	}
	return p.Tunnels[0].Trust.Invitation
}

// WithTrust returns c with the first tunnel of a peer trusted as t says.
func (c *Config) WithTrust(peer string, t Trust) *Config {
	next := *c
	next.Peers = append([]Peer(nil), c.Peers...)
	for i := range next.Peers {
		if p := &next.Peers[i]; p.Name == peer && len(p.Tunnels) > 0 {
			p.Tunnels = append([]Tunnel(nil), p.Tunnels...)
			p.Tunnels[0].Trust = t
		}
	}
	return &next
}

// WithoutUsed returns c with no tunnel of a peer having kept an invitation that was used.
func (c *Config) WithoutUsed(peer string, used *Invitation) *Config {
	next := *c
	next.Peers = slices.Clone(c.Peers)
	for i := range next.Peers {
		p := &next.Peers[i]
		if p.Name != peer {
			continue
		}
		p.Tunnels = slices.Clone(p.Tunnels)
		for j := range p.Tunnels {
			if t := &p.Tunnels[j].Trust; used.Equal(t.Used) {
				t.Used = nil
			}
		}
	}
	return &next
}

// Without returns c without a peer.
func (c *Config) Without(peer string) *Config {
	next := *c
	next.Peers = nil
	for _, p := range c.Peers {
		if p.Name != peer {
			next.Peers = append(next.Peers, p)
		}
	}
	return &next
}

// Peer returns the peer with a name; nil if there is none in the files.
func (c *Config) Peer(name string) *Peer {
	for i := range c.Peers {
		if c.Peers[i].Name == name {
			return &c.Peers[i]
		}
	}
	return nil
}
