package tlslink

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// This file turns the errors of net and crypto/tls into what an operator can act
// on. The original is kept wrapped where it says more.

// ErrNoIPv6 is for an address of a family that the kernel was started without.
var ErrNoIPv6 = errors.New("this kernel has no IPv6")

func explainConnect(err error) error {
	switch {
	case errors.Is(err, syscall.EAFNOSUPPORT):
		return ErrNoIPv6
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("connection refused: nothing listens there")
	case isTimeout(err):
		return errors.New("no answer: is the address right, and does a firewall let it through?")
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return errors.New("no route to it")
	}
	return err
}

// alertProtocol is what an end says that shares no protocol (RFC 7301).
const alertProtocol = "no application protocol"

var errOtherProtocol = errors.New("the listener wants another protocol: is it warren?")

// refusedSecretError is the alert with which a listening end refused a secret. One of an older
// version does so with a secret that it does not know.
type refusedSecretError string

func (e refusedSecretError) Error() string {
	return fmt.Sprintf("the peer refused the shared secret (%s): is the secret file the same at both ends, and known there?", string(e))
}

// Is makes it one case of [errOtherSecret].
func (e refusedSecretError) Is(target error) bool { return target == errOtherSecret }

// explainDial is about a handshake, or a hello, that this end began.
func explainDial(err error, p *proof) error {
	switch alert := remoteAlert(err); {
	case alert == "":
	case alert == alertProtocol:
		return errOtherProtocol
	case p.cred.keys != nil:
		return refusedSecretError(alert)
	case alert == "bad certificate", alert == "unknown certificate", alert == "internal error":
		return refusedCertificate(alert, p)
	}
	switch {
	case isTimeout(err):
		return errNoAnswer
	case isHangUp(err):
		return errors.New("the peer hung up during the handshake")
	case strings.Contains(err.Error(), "first record does not look like a TLS handshake"):
		return errors.New("the listener does not speak TLS: is it warren?")
	}
	return unwrapTLS(err)
}

// refusedCertificate says what to look at. The alert is the same whatever the peer has found wrong; how it knows this router is likely
// to be how this router knows it, or by the CA that has signed the certificate.
func refusedCertificate(alert string, p *proof) error {
	refused := fmt.Sprintf("the peer refused this router's certificate (%s), whose fingerprint is %s", alert, Fingerprint(p.local))
	leaf := p.leaf()
	if leaf == nil || p.cred.trust.CA == nil && bytes.Equal(leaf.RawIssuer, leaf.RawSubject) {
		return fmt.Errorf("%s: is that what the peer expects?", refused)
	}
	state := fmt.Sprintf("it is valid from %s to %s", date(leaf.NotBefore), date(leaf.NotAfter))
	if p.at.After(leaf.NotAfter) {
		state = "it expired on " + date(leaf.NotAfter)
	}
	return fmt.Errorf("%s: %s, and it is %s here: is it in date by the peer's clock too? Is it signed by the CA that the peer has in ca_file, "+
		"and is the peer's peer_name one of %q? If the peer knows it by its fingerprint: is it that one?", refused, state, date(p.at), namesOf(leaf))
}

// leaf is the certificate that this end has shown; nil if it is not known.
func (p *proof) leaf() *x509.Certificate {
	switch {
	case p.own == nil || len(p.own.Certificate) == 0:
		return nil
	case p.own.Leaf != nil:
		return p.own.Leaf
	}
	leaf, err := x509.ParseCertificate(p.own.Certificate[0])
	if err != nil {
		return nil
	}
	return leaf
}

var errNoAnswer = errors.New("connected, but the handshake got no answer: is it warren, and do large packets get through on the way? Small ones are tried in turn")

func isHangUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// errRefusedUs is what the listening end sees of a dialing one that has another secret or
// expects another certificate.
var errRefusedUs = errors.New("it refused this router's certificate or secret: does it expect another, and is the certificate in date by its clock?")

// explainAccept is about a handshake that somebody else began.
func explainAccept(err error) error {
	switch alert := remoteAlert(err); alert {
	case "":
	case "bad certificate":
		return errRefusedUs
	default:
		return fmt.Errorf("it gave up: %s", alert)
	}
	switch {
	case errors.Is(err, errDisplaced), errors.Is(err, net.ErrClosed):
		return errDisplaced
	case isTimeout(err):
		return errUnfinished
	case isHangUp(err):
		return errHungUp
	}
	return unwrapTLS(err)
}

var (
	errUnfinished = fmt.Errorf("handshake not finished within %v", handshakeTimeout)
	errHungUp     = errors.New("it hung up during the handshake")
)

// isUnfinished reports whether the listening end has found nothing wrong with a connection that came to nothing. A peer hangs up by
// itself when another connection to it, or from it, is up before.
func isUnfinished(err error) bool {
	return errors.Is(err, errUnfinished) || errors.Is(err, errHungUp) || errors.Is(err, errDisplaced)
}

// errHoled is what the listening end sees of a path where large packets vanish. What can be
// done about it the dialing end does, if it is of this version.
var errHoled = fmt.Errorf("handshake not finished within %v: the end of its TLS hello has arrived and the large packet before it has not; "+
	"do large packets get through on the way?", handshakeTimeout)

// remoteAlert is the text of a TLS alert that the other end sent (RFC 8446,
// section 6), or "".
func remoteAlert(err error) string {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return ""
	}
	return strings.TrimPrefix(op.Err.Error(), "tls: ")
}

func unwrapTLS(err error) error {
	if text, ok := strings.CutPrefix(err.Error(), "tls: "); ok {
		return errors.New(text)
	}
	return err
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &t) && t.Timeout()
}
