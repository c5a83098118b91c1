package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"warren/internal/config"
	"warren/internal/keys"
	"warren/internal/peerfile"
)

// This file is what is done on the disk about invitations. The loop has what was read at the start or at the last reload,
// and an operator may have edited the files since. What was written by others than the daemon stays.

// changedError says that a file is not what was read.
type changedError struct{ file string }

func (e changedError) Error() string {
	return e.file + " was changed since it was read: `warren reload` takes it as it is"
}

// renewSecret writes the secret that replaces an invitation's. had are the secrets that may be there already.
func renewSecret(i *config.Invitation, had [][]byte, secret []byte) error {
	data, err := os.ReadFile(i.Renewed)
	if err == nil {
		var there []byte
		there, err = config.ParseSecret(data)
		if err == nil && !slices.ContainsFunc(had, func(h []byte) bool { return bytes.Equal(h, there) }) {
			err = changedError{i.Renewed}
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replace the secret in %s: %w", i.Renewed, err)
	}
	return keys.Replace(i.Renewed, keys.SecretLine(secret), 0o600)
}

// forgetInvitation removes the file of an invitation that was used.
func forgetInvitation(i *config.Invitation) error {
	if err := isStill(i, i.SameSecret); err != nil {
		return err
	}
	return keys.Remove(i.File)
}

// lapse removes the file of an invitation whose term is over. One that has got another term by now stays.
func lapse(i *config.Invitation) error {
	if err := isStill(i, i.Equal); err != nil {
		return err
	}
	return keys.Remove(i.File)
}

// spend replaces an invitation by what tells others that it was used. After a crash in between there are both, of which the
// invitation counts, and the peer has the secret that replaces it already.
func spend(i *config.Invitation) error {
	if err := isStill(i, i.SameSecret); err != nil {
		return err
	}
	used := i.Used()
	if err := keys.Replace(used.File, []byte(config.InvitationText(*used, keys.Text(used.Secret))), 0o600); err != nil {
		return err
	}
	return keys.Remove(i.File)
}

// isStill returns an error if the file of an invitation holds another, as same says. There may be none.
func isStill(i *config.Invitation, same func(*config.Invitation) bool) error {
	now, err := i.OnDisk()
	if err == nil && now != nil && !same(now) {
		return changedError{i.File}
	}
	return err
}

// removeInvited removes the files of a peer that was invited and has not come, as they are on the disk by now.
func removeInvited(path, peer string, i *config.Invitation) error {
	c, err := config.Load(path)
	if err != nil {
		return fmt.Errorf("whether they were changed is not known: %w", err)
	}
	p := c.Peer(peer)
	if p == nil {
		return nil // an operator was faster
	}
	if !i.Equal(p.Invited()) || len(p.Tunnels[0].Trust.Secrets) > 1 {
		return changedError{p.File}
	}
	plan, err := peerfile.Removal(c, peer)
	if err != nil {
		return err
	}
	return plan.Do()
}
