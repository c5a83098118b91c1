package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"warren/internal/config"
	"warren/internal/history"
	"warren/internal/keys"
	"warren/tunnel"
)

// invitations are the secrets that are being replaced. The loop owns them.
//
// A step (tunnel.MeetingKind) is first done on the disk, beside the loop, and then with the tunnel, as a reload of
// the same files would. So each end always accepts what is on its disk, and the other end never has
// anything but what it accepts:
//
//	                      on the inviting end's disk     on the other's
//	before                invitation                     invitation
//	MeetingBegun          secret, invitation             invitation
//	MeetingTold           secret, invitation             secret, invitation
//	MeetingOver           secret                         secret, invitation
//	MeetingOver, there    secret                         secret
//
// Over WireGuard the inviting end also has that the invitation was used, from MeetingOver on until the term is over.
type invitations struct {
	busy   map[string]bool     // peers for which files are being written
	later  map[string]met      // the last step of each that came meanwhile
	failed map[string]met      // what could not be written, by peer
	tried  map[string][][]byte // secrets of which that was said, and which may be on the disk all the same, the last maxTried by peer

	renew  func(i *config.Invitation, had [][]byte, secret []byte) error // writes the secret beside the invitation, over those that it had
	forget func(i *config.Invitation) error                              // removes the invitation, which was used
	lapse  func(i *config.Invitation) error                              // removes the invitation, or what was kept of it, as its term is over
	spend  func(i *config.Invitation) error                              // keeps that it was used, and removes it
	remove func(path, peer string, i *config.Invitation) error           // removes all files of a peer that nobody has come as, by the config at path
}

func newInvitations() invitations {
	return invitations{
		busy: map[string]bool{}, later: map[string]met{}, failed: map[string]met{}, tried: map[string][][]byte{},
		renew: renewSecret, forget: forgetInvitation, lapse: lapse, spend: spend, remove: removeInvited,
	}
}

// met is a step that a tunnel tells of.
type met struct {
	id uint64
	tunnel.Meeting
}

// renewed is what became of a step on the disk.
type renewed struct {
	met
	peer       string
	invitation *config.Invitation
	trust      config.Trust // that is now there
	err        error
}

func (l *loop) takeMeeting(in input) {
	switch in := in.(type) {
	case met:
		l.meet(in)
	case renewed:
		l.renewed(in)
	}
}

// meet begins a step on the disk, unless it has been overtaken.
func (l *loop) meet(in met) {
	a := l.m.tunnels[in.id]
	if a == nil {
		return
	}
	name := a.peer.name
	if l.invitations.busy[name] {
		l.invitations.later[name] = in
		return
	}
	delete(l.invitations.failed, name)
	p := l.cfg.Peer(name)
	if p == nil || p.Invited() == nil {
		return
	}
	i, trust := p.Invited(), p.Tunnels[0].Trust
	had := slices.Clone(l.invitations.tried[name])
	for _, s := range trust.Secrets {
		had = append(had, s.Secret)
	}
	write := func(i *config.Invitation, secret []byte) error { return l.invitations.renew(i, had, secret) }
	renews := true
	switch {
	case in.Kind == tunnel.MeetingBegun && i.Role == config.RoleInviting && l.now().Before(i.Until):
		if in.Secret == nil { // it is not tried again
			in.Secret = keys.NewSecret()
		}
		trust.Secrets = renewedSecrets(i, in.Secret)
	case in.Kind == tunnel.MeetingTold && i.Role == config.RoleJoined:
		trust.Secrets = renewedSecrets(i, in.Secret)
	case in.Kind == tunnel.MeetingOver && len(trust.Secrets) == 2 && bytes.Equal(in.Secret, trust.Secrets[0].Secret):
		trust.Secrets, trust.Invitation = trust.Secrets[:1], nil
		end := l.invitations.forget
		if i.Role == config.RoleInviting && p.Tunnels[0].OverWireGuard() {
			// WireGuard answers no stranger, so that it has to know who comes with the invitation later.
			trust.Used, end = i.Used(), l.invitations.spend
		}
		write = func(i *config.Invitation, _ []byte) error { return end(i) }
		renews = false
	default:
		return
	}
	if renews {
		l.invitations.try(name, in.Secret)
	}
	l.invitations.busy[name] = true
	l.working.Add(1)
	l.handles.begin(func() {
		defer l.working.Done()
		l.inbox.put(renewed{met: in, peer: name, invitation: i, trust: trust, err: write(i, in.Secret)})
	})
}

// maxTried bounds invitations.tried of each peer. More secrets are made only by sessions that all fail at the disk.
const maxTried = 16

// try notes that a secret is being written. It may be on the disk although that fails, as when its directory cannot be synced.
func (i *invitations) try(peer string, secret []byte) {
	all := i.tried[peer]
	if !slices.ContainsFunc(all, func(t []byte) bool { return bytes.Equal(t, secret) }) {
		all = append(all, secret)
	}
	i.tried[peer] = all[max(0, len(all)-maxTried):]
}

// reread forgets what was tried, as the files have been read again.
func (i *invitations) reread() { clear(i.tried) }

func renewedSecrets(i *config.Invitation, secret []byte) []config.SharedSecret {
	return []config.SharedSecret{{File: i.Renewed, Secret: secret}, {File: i.File, Secret: i.Secret}}
}

// renewed goes on with a step when it is on the disk.
func (l *loop) renewed(in renewed) {
	delete(l.invitations.busy, in.peer)
	a := l.m.tunnels[in.id]
	if a != nil {
		l.play(tried{about(kindInvitation, a), in.err})
	}
	if in.err == nil {
		delete(l.invitations.tried, in.peer)
	}
	if in.err != nil {
		l.invitations.failed[in.peer] = in.met
	} else if p := l.cfg.Peer(in.peer); p != nil && in.invitation.Equal(p.Invited()) {
		l.cfg = l.cfg.WithTrust(in.peer, in.trust)
		l.configure()
	}
	// A reload that is taken back brings no secret back that was used.
	if u := l.unconfirmed; u != nil && in.err == nil {
		if p := u.before.Peer(in.peer); p != nil && in.invitation.Equal(p.Invited()) {
			u.before = u.before.WithTrust(in.peer, in.trust)
		}
	}
	if in.err == nil && in.Kind == tunnel.MeetingOver {
		const text = "the invitation was used: the two routers have a secret of their own now"
		l.log.Info(text, "peer", in.peer, "file", in.invitation.Renewed)
		l.history.Add(history.Event{Kind: history.Invitation, Time: history.At(l.now()), Peer: in.peer, Cause: text})
		l.followKeys() // most often before BGP has begun
	}
	if later, ok := l.invitations.later[in.peer]; ok {
		delete(l.invitations.later, in.peer)
		l.meet(later)
	}
}

// retryMeetings tries again what could not be written.
func (l *loop) retryMeetings() {
	for _, name := range sortedKeys(l.invitations.failed) {
		in := l.invitations.failed[name]
		a := l.m.tunnels[in.id]
		switch {
		case a == nil || !a.up(): // the next session begins again
			delete(l.invitations.failed, name)
			if a != nil {
				l.m.conditions.rest(about(kindInvitation, a))
			}
		case l.m.conditions.again(l.now(), about(kindInvitation, a)):
			l.meet(in)
		}
	}
}

// expire forgets the peers that were invited and have not come in time. Where one has come, but the two have not
// been seen to have the same secret, only the invitation is forgotten, and not while they are in a session that it began.
func (l *loop) expire() {
	now := l.now()
	for _, p := range slices.Clone(l.cfg.Peers) {
		for _, i := range p.UsedInvitations() {
			if !now.Before(i.Until) {
				l.cfg = l.cfg.WithoutUsed(p.Name, i)
				l.configure()
				l.remove(p.Name, func() error { return l.invitations.lapse(i) })
			}
		}
		i := p.Invited()
		if i == nil || i.Role != config.RoleInviting || now.Before(i.Until) || l.invitations.busy[p.Name] || l.cameInTime(p.Name, i) {
			continue
		}
		trust := p.Tunnels[0].Trust
		if len(trust.Secrets) > 1 {
			trust.Secrets, trust.Invitation = trust.Secrets[:1], nil
			l.expired(p.Name, i, l.cfg.WithTrust(p.Name, trust), "the invitation's term is over, and it is not accepted any more",
				func() error { return l.invitations.lapse(i) })
			continue
		}
		path := l.cfg.Path
		l.expired(p.Name, i, l.cfg.Without(p.Name), "the invitation's term is over and nobody came: the peer is forgotten, and its files are removed unless they were changed",
			func() error { return l.invitations.remove(path, p.Name, i) })
	}
}

// cameInTime reports whether a session with an invited peer is up that began before the end of the term.
func (l *loop) cameInTime(name string, i *config.Invitation) bool {
	p := l.m.peers[name]
	return p != nil && slices.ContainsFunc(p.attachments, func(a *attachment) bool { return a.up() && a.session.came.Before(i.Until) })
}

// expired goes on with next, and then has the files follow. It says so whatever becomes of them.
func (l *loop) expired(name string, i *config.Invitation, next *config.Config, text string, files func() error) {
	l.cfg = next
	l.keepOrders()
	l.configure()
	l.log.Warn(text, "peer", name, "until", i.Until.UTC().Format(time.RFC3339))
	l.history.Add(history.Event{Kind: history.Invitation, Time: history.At(l.now()), Peer: name, Cause: text})
	l.remove(name, files)
}

// remove removes files of a peer beside the loop.
func (l *loop) remove(name string, files func() error) {
	l.working.Add(1)
	l.handles.begin(func() {
		defer l.working.Done()
		switch err := files(); {
		case err == nil || errors.Is(err, fs.ErrNotExist):
		case errors.As(err, new(changedError)):
			l.log.Warn("files of an invitation whose term is over stay, as they are not what was read", "peer", name, "err", err)
		default:
			l.log.Error("cannot remove the files of an invitation whose term is over: remove them, or a reload brings it back", "peer", name, "err", err)
		}
	})
}

// invited says for a transport at which end of an invitation this one is.
func invited(i *config.Invitation) tunnel.Invited {
	if i.Role == config.RoleJoined {
		return tunnel.Joined
	}
	return tunnel.Inviting
}

// invitationHint is about a peer that is known by an invitation.
func invitationHint(i *config.Invitation, s tunnel.Status, now time.Time) string {
	until := i.Until.UTC().Format("2006-01-02 15:04 MST")
	switch {
	case s.State == tunnel.StateUp:
		return "the two routers have met by an invitation and have not replaced its secret yet"
	case i.Role == config.RoleInviting:
		return "invited, and not here yet: the invitation is good until " + until
	case !now.Before(i.Until):
		return fmt.Sprintf("the term of the invitation ended at %s: ask for another one, or check the clock", until)
	}
	return ""
}
