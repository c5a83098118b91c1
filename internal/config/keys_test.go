package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"warren/internal/keys"
)

// makeCA returns a new CA certificate in PEM.
func makeCA(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "a CA"},
		NotBefore:             time.Unix(0, 0),
		NotAfter:              time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestParseFingerprint(t *testing.T) {
	sum := sha256.Sum256([]byte("certificate"))
	colons := strings.TrimPrefix(keys.Fingerprint([]byte("certificate")), "SHA256:")
	for _, s := range []string{
		keys.Fingerprint([]byte("certificate")),
		"sha256 Fingerprint=" + colons,
		"SHA256 Fingerprint=" + colons + "\n",
		"sha256:" + strings.ToLower(colons),
		colons,
		fmt.Sprintf("%x", sum),
		fmt.Sprintf("SHA256:%X", sum),
	} {
		if got, err := parseFingerprint(s); err != nil || got != sum {
			t.Errorf("%q: %x, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "SHA256:", colons[1:], colons + ":00", colons[:len(colons)-3], "SHA1:" + colons,
		strings.Replace(colons, ":", "", 1), strings.Replace(fmt.Sprintf("%x", sum), "a", "g", 1)} {
		if _, err := parseFingerprint(s); err == nil && s != "" {
			t.Errorf("%q was taken", s)
		}
	}
}

func TestParseSecret(t *testing.T) {
	raw := bytes.Repeat([]byte{0xa5}, SecretSize)
	good := base64.StdEncoding.EncodeToString(raw)
	for _, s := range []string{good, good + "\n", " " + good + "\r\n\n"} {
		if got, err := ParseSecret([]byte(s)); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%q: %x, %v", s, got, err)
		}
	}
	long := base64.StdEncoding.EncodeToString(append(raw, 1))
	for _, s := range []string{"", "\n", good[:20] + "\n" + good[20:], good[4:], long, good + good, "x" + good[1:43] + "!",
		// The same 32 bytes, but with bits set that base64 leaves unused.
		good[:42] + "V="} {
		if _, err := ParseSecret([]byte(s)); err == nil {
			t.Errorf("%q was taken", s)
		} else if strings.Contains(err.Error(), good[:8]) {
			t.Errorf("the secret is in the error: %v", err)
		}
	}
}

func TestSecretHidesItself(t *testing.T) {
	tunnel := Tunnel{Trust: Trust{Secrets: []SharedSecret{{Secret: Secret("0123456789")}}}}
	var out strings.Builder
	fmt.Fprintf(&out, "%v %+v %#v %x %q", tunnel, tunnel, tunnel, tunnel.Trust.Secrets[0].Secret, tunnel.Trust.Secrets[0].Secret)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", tunnel.Trust.Secrets[0].Secret, "tunnel", tunnel)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", tunnel.Trust.Secrets[0].Secret, "tunnel", tunnel)
	if err := json.NewEncoder(&out).Encode(tunnel); err != nil {
		t.Fatal(err)
	}
	for _, leak := range []string{"0123456789", "48 49 50", "0x30, 0x31", "303132", "MDEyMzQ1"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q is in %s", leak, out.String())
		}
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	write(t, file, "x")
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o601} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := readFile(file, private); err == nil || !strings.Contains(err.Error(), "chmod 600 "+file) {
			t.Errorf("mode %o: %v", mode, err)
		}
		if _, err := readFile(file, public); err != nil {
			t.Errorf("mode %o of a public file: %v", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if data, err := readFile(file, private); err != nil || string(data) != "x" {
			t.Errorf("mode %o: %q, %v", mode, data, err)
		}
	}

	write(t, filepath.Join(dir, "large"), strings.Repeat("#", maxFile))
	if _, err := readFile(filepath.Join(dir, "large"), trusted); err != nil {
		t.Error(err)
	}
	write(t, filepath.Join(dir, "larger"), strings.Repeat("#", maxFile+1))
	if _, err := readFile(filepath.Join(dir, "larger"), trusted); err == nil {
		t.Error("a file over the limit was read")
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, irregular := range []string{pipe, dir, "/dev/null"} {
		if _, err := readFile(irregular, trusted); err == nil {
			t.Errorf("%s was read", irregular)
		}
	}
}

// TestOwner needs no other user: it asks about a file that some other user is
// said to own.
func TestOwner(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	write(t, file, "x")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	for uid, ok := range map[uint32]bool{0: true, uint32(os.Geteuid()): true, uint32(os.Geteuid()) + 1: false} {
		if err := private.check(file, owned{info, uid}); (err == nil) != ok {
			t.Errorf("user %d: %v", uid, err)
		}
	}
}

// owned is a file of another user.
type owned struct {
	os.FileInfo
	uid uint32
}

func (o owned) Sys() any { return &syscall.Stat_t{Uid: o.uid} }
