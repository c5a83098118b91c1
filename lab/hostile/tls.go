package main

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	idlers    = 400              // connections that send nothing: more than any limit on strangers
	tlsHolds  = 30 * time.Second // the router gives them five seconds, and may be busy
	dialLimit = 2 * time.Second
)

// attackTLS opens many connections that send nothing, garbage, or a handshake
// without a certificate, waits a while, and reports how many the router closed.
func attackTLS(addr string) error {
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	refused := 0
	for range idlers {
		c, err := net.DialTimeout("tcp", addr, dialLimit)
		if err != nil {
			refused++
			continue
		}
		conns = append(conns, c)
	}
	fmt.Printf("%d silent connections, %d more refused\n", len(conns), refused)

	for range 20 {
		c, err := net.DialTimeout("tcp", addr, dialLimit)
		if err != nil {
			continue
		}
		garbage := make([]byte, 4096)
		rand.Read(garbage)
		c.Write(garbage) //nolint:errcheck // the router may hang up half-way
		conns = append(conns, c)
	}
	// The certificate is not looked at: a stranger does not care whom it talks to.
	stranger := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}}
	if c, err := tls.DialWithDialer(&net.Dialer{Timeout: dialLimit}, "tcp", addr, stranger); err == nil {
		conns = append(conns, c)
		c.SetReadDeadline(time.Now().Add(dialLimit)) //nolint:errcheck // a fresh connection takes it
		if n, err := c.Read(make([]byte, 1)); err == nil {
			return fmt.Errorf("a stranger without a certificate was sent %d bytes", n)
		}
	}
	closed, end := 0, time.Now().Add(tlsHolds)
	for _, c := range conns {
		c.SetReadDeadline(end) //nolint:errcheck // as above
		_, err := io.Copy(io.Discard, c)
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			closed++
		}
	}
	fmt.Printf("the router has closed %d of %d\n", closed, len(conns))
	if closed < len(conns) {
		return fmt.Errorf("%d connections are still held open", len(conns)-closed)
	}
	return nil
}
