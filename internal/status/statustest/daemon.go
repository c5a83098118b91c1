// Package statustest has a daemon for tests of who asks one.
package statustest

import (
	"net"
	"testing"
)

// Daemon listens at a socket until the test ends. Once something was asked, answer does with the connection what it does; then
// nothing more comes.
func Daemon(t *testing.T, socket string, answer func(net.Conn)) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, err := c.Read(make([]byte, 4096)); err == nil {
					answer(c)
				}
				<-t.Context().Done()
			}()
		}
	}()
}
