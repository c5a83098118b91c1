package keys

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"warren/internal/access"
)

// Names of the files that [Router] makes in its directory.
const (
	CertFile      = "tls.crt"
	KeyFile       = "tls.key"
	WireGuardFile = "wireguard.key"
)

// SecretSize is the length in bytes of a shared secret before base64.
const SecretSize = 32

// A self-signed certificate is shown to any stranger who connects, so it looks like
// one that a web server was installed with. A pinned certificate is trusted by its
// fingerprint, whatever its name and dates.
const (
	neutralName = "localhost"
	validDays   = 3650
)

// earliest is from when a certificate is valid if the clock says something
// earlier: a router's may be wrong at first boot.
var earliest = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// Made is what a router's key files hold for its peers.
type Made struct {
	Fingerprint     string   // of the TLS certificate, "SHA256:9F:86:…"
	WireGuardPublic string   // base64, as `wg pubkey` prints it
	Created         []string // files made by this call
	Kept            []string // files that were there before
}

// Router makes in dir whatever is missing of the router's TLS certificate and
// key and its WireGuard key, and returns what a peer needs to know of them.
// Nothing in the certificate says whose it is. The directory is created (0700)
// if needed.
func Router(dir string) (Made, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Made{}, fmt.Errorf("keys: %w", err)
	}
	var m Made
	if err := m.tls(dir); err != nil {
		return m, err
	}
	return m, m.wireguard(dir)
}

func (m *Made) tls(dir string) error {
	crt, key := filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile)
	haveCrt, haveKey := exists(crt), exists(key)
	switch {
	case haveCrt && haveKey:
		if err := errors.Join(ours(crt), ours(key)); err != nil {
			return err
		}
		m.Kept = append(m.Kept, crt, key)
	case haveCrt:
		return fmt.Errorf("keys: %s is there but %s is not: put the key back, or move the certificate away to make a new pair", crt, key)
	case haveKey:
		return fmt.Errorf("keys: %s is there but %s is not: put the certificate back, or move the key away to make a new pair", key, crt)
	default:
		certPEM, keyPEM, err := selfSigned(time.Now())
		if err != nil {
			return err
		}
		// The key first: if the disk is full now, no certificate without a
		// key is left behind.
		if err := create(key, keyPEM, 0o600); err != nil {
			return err
		}
		if err := create(crt, certPEM, 0o644); err != nil {
			os.Remove(key)
			return err
		}
		m.Created = append(m.Created, crt, key)
	}
	der, err := certificate(crt)
	if err != nil {
		return err
	}
	m.Fingerprint = Fingerprint(der)
	return nil
}

func (m *Made) wireguard(dir string) error {
	file := filepath.Join(dir, WireGuardFile)
	if exists(file) {
		if err := ours(file); err != nil {
			return err
		}
		m.Kept = append(m.Kept, file)
	} else {
		private, _, err := newWireGuard()
		if err != nil {
			return err
		}
		if err := create(file, line(private), 0o600); err != nil {
			return err
		}
		m.Created = append(m.Created, file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != 32 {
		return fmt.Errorf("keys: %s is not a WireGuard private key (32 bytes in base64)", file)
	}
	k, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil {
		return fmt.Errorf("keys: %s: %w", file, err)
	}
	m.WireGuardPublic = base64.StdEncoding.EncodeToString(k.PublicKey().Bytes())
	return nil
}

// newWireGuard makes a key pair of 32 bytes each.
func newWireGuard() (private, public []byte, err error) {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	private = k.Bytes()
	// Clamped as `wg genkey` does (RFC 7748 section 5); X25519 clamps
	// again when it computes, so the public key is the same.
	private[0] &= 248
	private[31] = private[31]&127 | 64
	return private, k.PublicKey().Bytes(), nil
}

// Secret writes a new shared secret to file: [SecretSize] random bytes in
// base64, one line, mode 0600. It fails if file exists.
func Secret(file string) error { return create(file, line(NewSecret()), 0o600) }

// NewSecret returns [SecretSize] random bytes.
func NewSecret() []byte {
	b := make([]byte, SecretSize)
	rand.Read(b)
	return b
}

// Text is a secret as it is written: base64.
func Text(secret []byte) string { return base64.StdEncoding.EncodeToString(secret) }

// Create writes a file that must not exist, and makes sure that it is on the disk.
func Create(path string, content []byte, mode fs.FileMode) error {
	if err := create(path, content, mode); err != nil {
		return err
	}
	return syncDir(path)
}

// Replace writes a file, in the place of one of that name if there is one, with mode. After a crash at any moment the
// one or the other is there, whole; when it returns without an error it is this one. A symbolic link is replaced, not
// followed.
func Replace(path string, content []byte, mode fs.FileMode) error {
	return replace(path, content, mode, func(string) error { return nil })
}

// ReplaceLike is Replace with the mode and the owner of what info is of.
func ReplaceLike(path string, content []byte, info fs.FileInfo) error {
	return replace(path, content, info.Mode().Perm(), func(temporary string) error {
		st, ok := info.Sys().(*syscall.Stat_t)
		if ok && (int(st.Uid) != os.Geteuid() || int(st.Gid) != os.Getegid()) {
			if err := os.Lchown(temporary, int(st.Uid), int(st.Gid)); err != nil {
				return err
			}
		}
		return os.Chmod(temporary, info.Mode().Perm()) // whatever the umask is
	})
}

func replace(path string, content []byte, mode fs.FileMode, prepare func(temporary string) error) error {
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) { // a crash has left it
		return fmt.Errorf("keys: %w", err)
	}
	if err := create(temporary, content, mode); err != nil {
		return err
	}
	err := prepare(temporary)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		os.Remove(temporary)
		return fmt.Errorf("keys: %w", err)
	}
	return syncDir(path)
}

// SecretLine is the contents of a secret's file.
func SecretLine(secret []byte) []byte { return line(secret) }

// Remove removes a file for good. One that is not there is no error.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keys: %w", err)
	}
	return syncDir(path)
}

// syncDir makes sure that the directory of a file is on the disk as it is.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if err := errors.Join(synced(dir.Sync()), dir.Close()); err != nil {
		return fmt.Errorf("keys: %s: %w", filepath.Dir(path), err)
	}
	return nil
}

// synced is the error of a directory's fsync(2), without those of file systems that have nothing to do for one.
func synced(err error) error {
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}

// Fingerprint returns the SHA-256 of a certificate in DER form, written as
// `openssl x509 -fingerprint -sha256` writes it, behind "SHA256:".
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	hex := make([]string, len(sum))
	for i, b := range sum {
		hex[i] = fmt.Sprintf("%02X", b)
	}
	return "SHA256:" + strings.Join(hex, ":")
}

func selfSigned(now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	if now.Before(earliest) {
		now = earliest
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: neutralName},
		DNSNames:              []string{neutralName},
		NotBefore:             now,
		NotAfter:              now.AddDate(0, 0, validDays),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("keys: make certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

func certificate(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("keys: %s holds no PEM certificate", file)
	}
	return block.Bytes, nil
}

func line(b []byte) []byte {
	return []byte(base64.StdEncoding.EncodeToString(b) + "\n")
}

// exists says whether something is at path, a dangling link included:
// following one would write a key to a place nobody looks at.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// ours makes sure that a file which is kept was not put there by another user: it is what peers
// are told to trust.
func ours(path string) error {
	info, err := os.Stat(path)
	if err == nil {
		err = access.File(path, info)
	}
	if err != nil {
		return fmt.Errorf("keys: %s is there already: %w; or move it away to make a new one", path, err)
	}
	return nil
}

// create writes a file that must not exist yet. O_EXCL makes the kernel, not a
// check before it, refuse an existing file or a link.
func create(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keys: %s exists and is not overwritten: move it away first", path)
	}
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	_, werr := f.Write(content)
	if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
		os.Remove(path)
		return fmt.Errorf("keys: write %s: %w", path, err)
	}
	return nil
}
