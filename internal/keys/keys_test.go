package keys

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestRouterMakesFilesThatOnlyTheOwnerReads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "warren")
	m, err := Router(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Created) != 3 || len(m.Kept) != 0 {
		t.Fatalf("created %v, kept %v", m.Created, m.Kept)
	}
	for file, want := range map[string]os.FileMode{CertFile: 0o644, KeyFile: 0o600, WireGuardFile: 0o600} {
		st, err := os.Stat(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", file, st.Mode().Perm(), want)
		}
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if got := Fingerprint(pair.Certificate[0]); got != m.Fingerprint {
		t.Errorf("fingerprint %s, want %s", m.Fingerprint, got)
	}
	if len(m.Fingerprint) != len("SHA256:")+32*3-1 {
		t.Errorf("fingerprint has an odd length: %s", m.Fingerprint)
	}
	if raw, err := base64.StdEncoding.DecodeString(m.WireGuardPublic); err != nil || len(raw) != 32 {
		t.Errorf("WireGuard public key %q: %v", m.WireGuardPublic, err)
	}
}

func TestRouterKeepsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	first, err := Router(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Router(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again.Fingerprint != first.Fingerprint || again.WireGuardPublic != first.WireGuardPublic {
		t.Error("a second call changed the keys")
	}
	if len(again.Created) != 0 || len(again.Kept) != 3 {
		t.Errorf("created %v, kept %v", again.Created, again.Kept)
	}
}

func TestRouterRefusesHalfAPair(t *testing.T) {
	for _, lost := range []string{CertFile, KeyFile} {
		dir := t.TempDir()
		if _, err := Router(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, lost)); err != nil {
			t.Fatal(err)
		}
		if _, err := Router(dir); err == nil || !strings.Contains(err.Error(), lost) {
			t.Errorf("without %s: %v", lost, err)
		}
		if exists(filepath.Join(dir, lost)) {
			t.Errorf("%s was made anew", lost)
		}
	}
}

func TestSecretNeverOverwrites(t *testing.T) {
	file := filepath.Join(t.TempDir(), "b.secret")
	if err := Secret(file); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(before))); err != nil || len(raw) != SecretSize {
		t.Errorf("secret %q: %v", before, err)
	}
	if err := Secret(file); err == nil || !strings.Contains(err.Error(), "not overwritten") {
		t.Errorf("second call: %v", err)
	}
	if after, _ := os.ReadFile(file); string(after) != string(before) {
		t.Error("the secret changed")
	}
}

// A file system that cannot sync directories is no reason to take a secret for one that was not written.
func TestDirectoriesThatCannotBeSynced(t *testing.T) {
	for errno, fails := range map[syscall.Errno]bool{syscall.EINVAL: false, syscall.ENOTSUP: false, syscall.EIO: true, syscall.ENOSPC: true} {
		if err := synced(&fs.PathError{Op: "sync", Path: "/d", Err: errno}); (err != nil) != fails {
			t.Errorf("%v: %v", errno, err)
		}
	}
}

// Strangers are shown the certificate: it says nothing of whose it is, or of what.
func TestCertificateIsNeutral(t *testing.T) {
	var serials [2]string
	for i := range serials {
		dir := t.TempDir()
		if _, err := Router(dir); err != nil {
			t.Fatal(err)
		}
		der, err := certificate(filepath.Join(dir, CertFile))
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		// The fields one by one: in the random bytes of the key and the signature any short name is found sooner or later.
		if cert.Subject.String() != "CN=localhost" || cert.Issuer.String() != "CN=localhost" || len(cert.DNSNames) != 1 || cert.DNSNames[0] != "localhost" {
			t.Errorf("subject %v, issuer %v, names %v", cert.Subject, cert.Issuer, cert.DNSNames)
		}
		if len(cert.EmailAddresses)+len(cert.IPAddresses)+len(cert.URIs) != 0 {
			t.Errorf("more names: %v, %v, %v", cert.EmailAddresses, cert.IPAddresses, cert.URIs)
		}
		var extensions []string
		for _, e := range cert.Extensions {
			extensions = append(extensions, e.Id.String())
		}
		// RFC 5280 section 4.2.1: key usage, other names, basic constraints, extended key usage.
		if want := []string{"2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.37"}; !slices.Equal(slices.Sorted(slices.Values(extensions)), want) {
			t.Errorf("extensions %v, want %v", extensions, want)
		}
		if days := cert.NotAfter.Sub(cert.NotBefore).Hours() / 24; days != validDays || cert.NotBefore.Before(earliest) {
			t.Errorf("valid from %v for %v days", cert.NotBefore, days)
		}
		serials[i] = cert.SerialNumber.String()
	}
	if serials[0] == serials[1] {
		t.Error("the same serial number twice")
	}
}

// A clock that is wrong at first boot makes no certificate that has expired by the time
// it is right.
func TestCertificateOfAWrongClock(t *testing.T) {
	text, _, err := selfSigned(time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || cert.NotBefore != earliest {
		t.Fatalf("valid from %v, %v", cert.NotBefore, err)
	}
}

// What another user put there is not taken for the router's own, nor is a link followed to make
// a file.
func TestFilesOfOthers(t *testing.T) {
	for _, name := range []string{CertFile, KeyFile, WireGuardFile} {
		dir := t.TempDir()
		if _, err := Router(dir); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := os.Chmod(file, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Router(dir); err == nil || !strings.Contains(err.Error(), "run: chmod go-w "+file) {
			t.Errorf("%s that others can change: %v", name, err)
		}
		if os.Chmod(file, 0o600) != nil || os.Chown(file, 54321, -1) != nil {
			continue // only root can, where there are other users
		}
		if _, err := Router(dir); err == nil || !strings.Contains(err.Error(), "belongs to user 54321") {
			t.Errorf("%s of another user: %v", name, err)
		}
	}
	dir := t.TempDir()
	link, target := filepath.Join(dir, "s"), filepath.Join(dir, "target")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := Secret(link); err == nil {
		t.Error("a link was followed")
	}
	if _, err := os.Lstat(target); err == nil {
		t.Error("a file was made where a link leads")
	}
}
