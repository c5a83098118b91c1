package main

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// takeoverRounds is how often takeOverBGP tries each of what it has to send.
const takeoverRounds = 20

// takeOverBGP connects to a router again and again from the address that its peer has, as a user of the peer's machine, and
// sends garbage that looks like an OPEN, the OPEN of another AS, and the peer's own. It fails if it was let into a
// session.
func takeOverBGP(local, peer, as, id, user string) error {
	asn, err := strconv.ParseUint(as, 10, 16)
	if err != nil {
		return err
	}
	routerID, err := netip.ParseAddr(id)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(user)
	if err != nil {
		return fmt.Errorf("user %q is not a number", user)
	}
	if err := become(uid); err != nil {
		return err
	}
	garbage := make([]byte, 43)
	garbage[18] = typeOpen
	connected, in := 0, 0
	for range takeoverRounds {
		for _, sent := range [][]byte{garbage, openAs(uint16(asn)+1, routerID), openAs(uint16(asn), routerID)} {
			conn, err := dialPlain(local, peer)
			if err != nil {
				continue
			}
			connected++
			if letIn(conn, sent) {
				in++
			}
			conn.Close()
		}
	}
	fmt.Printf("%d of %d connections made, %d let in\n", connected, 3*takeoverRounds, in)
	if in > 0 {
		return fmt.Errorf("the router has begun a session on %d connections", in)
	}
	return nil
}

// dialPlain is dial without a mark, which takes rights.
func dialPlain(local, peer string) (net.Conn, error) {
	from, err := netip.ParseAddr(local)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: 2 * time.Second}
	return d.Dial("tcp", net.JoinHostPort(peer, "179"))
}

// letIn sends one message, and reports whether there is anything but a NOTIFICATION in return.
func letIn(conn net.Conn, sent []byte) bool {
	if conn.SetDeadline(time.Now().Add(openFor)) != nil {
		return false
	}
	if _, err := conn.Write(sent); err != nil {
		return false
	}
	typ, _, err := read(conn)
	return err == nil && typ != typeNotification
}

func openAs(asn uint16, id netip.Addr) []byte {
	b, routerID := open(asn), id.As4()
	const idAt = 19 + 5
	copy(b[idAt:], routerID[:])
	return b
}
