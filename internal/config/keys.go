package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"warren/internal/access"
)

// SecretSize is the length of a shared secret in bytes.
const SecretSize = 32

// maxFile bounds every file that is read, in bytes.
const maxFile = 1 << 20

// KeySize is the length of WireGuard's keys in bytes (Curve25519).
const KeySize = 32

// ParseSecret reads the contents of a secret file: SecretSize bytes in
// standard base64, on one line, as `warren keygen --secret` makes it. White
// space around it is ignored. The error never repeats the contents.
func ParseSecret(file []byte) ([]byte, error) {
	return parseKey(file, "as `warren keygen --secret FILE` makes it")
}

// parseKey reads 32 bytes in standard base64 on one line; source is who writes
// them so. The error never repeats them.
func parseKey(text []byte, source string) ([]byte, error) {
	form := "it must be one line, 32 bytes in base64, " + source
	line := bytes.TrimSpace(text)
	if len(line) == 0 {
		return nil, errors.New("nothing is there; " + form)
	}
	// The decoder would skip line breaks.
	if bytes.ContainsAny(line, "\r\n") {
		return nil, errors.New("there is more than one line; " + form)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(string(line))
	if err != nil {
		return nil, errors.New("it is not base64; " + form)
	}
	if len(key) != KeySize {
		return nil, fmt.Errorf("there are %d bytes; %s", len(key), form)
	}
	return key, nil
}

// parseFingerprint reads a SHA-256 fingerprint in one of the forms that are
// about: SHA256:9F:86:…, openssl's "sha256 Fingerprint=9F:86:…", or 64 hex
// digits with or without colons. Case does not matter.
func parseFingerprint(s string) (sum [32]byte, err error) {
	digits := strings.ToLower(strings.TrimSpace(s))
	for _, prefix := range []string{"sha256 fingerprint=", "sha256:"} {
		if rest, found := strings.CutPrefix(digits, prefix); found {
			digits = rest
			break
		}
	}
	if strings.Contains(digits, ":") {
		pairs := strings.Split(digits, ":")
		for _, pair := range pairs {
			if len(pair) != 2 {
				return sum, errors.New("is not made of pairs of hex digits between colons")
			}
		}
		digits = strings.Join(pairs, "")
	}
	raw, err := hex.DecodeString(digits)
	if err != nil {
		return sum, errors.New("is not made of hex digits")
	}
	if len(raw) != len(sum) {
		return sum, fmt.Errorf("has %d bytes instead of 32", len(raw))
	}
	return [32]byte(raw), nil
}

// exposure says which users may get at a file.
type exposure int

const (
	private exposure = iota // nobody but its owner, root or the user of this process
	trusted                 // anybody may read it, only that owner change it
	public                  // anybody: nothing depends on what it says
)

// readFile reads a regular file of at most maxFile bytes, unless more may get at it than e
// allows. The error does not repeat the path.
func readFile(path string, e exposure) ([]byte, error) {
	// Without O_NONBLOCK, opening a named pipe would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, plain(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	if err := e.check(path, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, plain(err)
	}
	if len(data) > maxFile {
		return nil, errors.New("is larger than 1 MiB")
	}
	return data, nil
}

func (e exposure) check(path string, info fs.FileInfo) error {
	switch e {
	case private:
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			return fmt.Errorf("others than the owner can use it (mode %04o); run: chmod 600 %s", mode, path)
		}
		return access.Owner(path, info)
	case trusted:
		return access.File(path, info)
	default:
		return nil
	}
}

// plain strips an error of the path that the message around it names already.
func plain(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

// parseKeyPair makes the router's own certificate of two PEM files. The error
// says which of the two is wrong, as far as that can be told.
func parseKeyPair(certPEM, keyPEM []byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "tls: "))
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, err
		}
	}
	return &pair, nil
}
