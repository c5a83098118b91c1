package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os/exec"
	"strings"
	"time"

	"warren/lab/topo"
)

const openVPNPort = 1194

// openVPN is OpenVPN 2.6 as people run it between two routers: a server with
// one client, each knowing the other by fingerprint, AES-128-GCM, in user space.
type openVPN struct {
	proto  string // "udp" or "tcp"
	server string // configuration file of A
	client string // configuration file of B
}

func (o *openVPN) name() string   { return "openvpn-" + o.proto }
func (o *openVPN) title() string  { return "OpenVPN " + strings.ToUpper(o.proto) }
func (o *openVPN) binary() string { return "" }

func (o *openVPN) version(ctx context.Context) (string, error) {
	// Up to 2.6 `openvpn --version` ends with status 1.
	out, err := exec.CommandContext(ctx, "openvpn", "--version").Output()
	if f := strings.Fields(string(out)); len(f) > 1 {
		return f[0] + " " + f[1], nil
	}
	return "", fmt.Errorf("version of openvpn: %w", err)
}

func (o *openVPN) prepare(_ context.Context, p *pair) error {
	server, serverPrint, err := selfSigned("server")
	if err != nil {
		return err
	}
	client, clientPrint, err := selfSigned("client")
	if err != nil {
		return err
	}
	tcp := o.proto == "tcp"
	o.server, err = p.file(o.name()+"-server.conf", openVPNConfig(server, clientPrint, tcp,
		// It takes the first address of the net, and gives its client the second.
		"server "+tunnelNet+" 255.255.255.0", "topology subnet", "dh none",
		"local "+underlayA, "keepalive 10 60", protoLine(tcp, "server")))
	if err != nil {
		return err
	}
	o.client, err = p.file(o.name()+"-client.conf", openVPNConfig(client, serverPrint, tcp,
		"client", "nobind", "connect-retry 1 1", "remote "+underlayA, protoLine(tcp, "client")))
	return err
}

func protoLine(tcp bool, role string) string {
	if tcp {
		return "proto tcp4-" + role
	}
	return "proto udp4"
}

func openVPNConfig(identity, peerFingerprint string, tcp bool, lines ...string) string {
	lines = append(lines, "dev ovpn0", "dev-type tun", fmt.Sprintf("port %d", openVPNPort),
		"disable-dco", "data-ciphers AES-128-GCM", "peer-fingerprint "+peerFingerprint, "verb 3")
	if tcp {
		lines = append(lines, "socket-flags TCP_NODELAY")
	}
	return strings.Join(lines, "\n") + "\n" + identity
}

func (o *openVPN) start(ctx context.Context, p *pair) (*session, error) {
	s := &session{addrB: tunnelB}
	if o.proto == "tcp" {
		s.tcpPort = openVPNPort
	}
	server, err := p.a.Start("openvpn", "--config", o.server)
	if err != nil {
		return s, err
	}
	s.ends = append(s.ends, server)
	// A client that finds nobody waits for one second or two: the time to the first
	// ping would tell which of the two processes was quicker to start.
	_, err = topo.Eventually(ctx, time.Millisecond, 5*time.Second, func() error {
		if !strings.Contains(server.Log(), "multi_init called") {
			return errors.New("the server does not listen")
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	client, err := p.b.Start("openvpn", "--config", o.client)
	if err != nil {
		return s, err
	}
	s.ends = append(s.ends, client)
	return s, nil
}

// selfSigned makes a certificate and its key as inline files of an OpenVPN
// configuration, and the certificate's SHA-256 fingerprint.
func selfSigned(name string) (inline, fingerprint string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("key of %s: %w", name, err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return "", "", fmt.Errorf("certificate of %s: %w", name, err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", fmt.Errorf("key of %s: %w", name, err)
	}
	var hex []string
	for _, b := range sha256.Sum256(cert) {
		hex = append(hex, fmt.Sprintf("%02X", b))
	}
	block := func(tag, kind string, der []byte) string {
		return fmt.Sprintf("<%s>\n%s</%s>\n", tag, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), tag)
	}
	inline = block("cert", "CERTIFICATE", cert) + block("key", "PRIVATE KEY", pkcs8)
	return inline, strings.Join(hex, ":"), nil
}
