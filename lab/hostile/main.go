// Command hostile attacks a Warren router in the lab: with the bytes that have
// killed BGP speakers, from inside a tunnel; with connections that want nothing
// but to be there, and with all that can be sent to a WireGuard port, from the
// underlay. It is bounded in time and number, and says what the router did. It
// fails if an attack could not be carried out.
//
// Usage:
//
//	hostile bgp LOCAL PEER ASN     PEER's port 179, from address LOCAL, as a router of AS ASN
//	hostile bgp-flood LOCAL PEER ASN SECS    the same, announcing ever new prefixes
//	hostile bgp-takeover LOCAL PEER ASN ID UID    PEER's port 179, from address LOCAL, as user UID of the router of AS ASN and
//	                               router ID ID that is in a session with PEER: connections that are to end or replace that
//	hostile tls HOST:PORT          the transport's port: silence, garbage, half a handshake
//	hostile tls-flood HOST:PORT PREFIX N SECS silent|hello
//	                               the same port, from N addresses of a prefix that is this host's:
//	                               thousands of connections a second that hold still
//	hostile capture INTERFACE FILE no attack: the frames that pass an interface, to a new file, until SIGTERM
//	hostile no-ipv6 CMD...         no attack: runs a command as on a kernel without IPv6
//	hostile no-next-hop-objects CMD...
//	                               no attack: runs a command as on a kernel without next-hop objects
//	hostile tun INTERFACE UID      the interface of a tunnel, as user UID of the same machine
//
// The WireGuard port of VICTIM, which is ADDRESS:PORT, IPv4. All of these tell
// what came back, and nothing should:
//
//	hostile wireguard garbage VICTIM          all types and lengths, oversized datagrams, fragments
//	hostile wireguard flood VICTIM KEY SECS   initiations from many ports, by who knows VICTIM's public key;
//	                                          cookies are to come back; until then, or SIGTERM
//	hostile wireguard icmp VICTIM PEER        forged errors about what VICTIM sends to PEER
//
// Those of who is on the path between two routers, and has recorded what they sent
// one another:
//
//	hostile wireguard record INTERFACE ROUTER ROUTER SECS FILE    until then, or SIGTERM, FILE.part
//	hostile wireguard replay FILE VICTIM       what VICTIM was sent, again
//	hostile wireguard reflect FILE VICTIM      what VICTIM sent, to itself
//	hostile wireguard forge FILE VICTIM        what VICTIM was sent, changed
//	hostile wireguard cookies FILE VICTIM KEY  cookies for what VICTIM sent to the owner of public key KEY
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 4 && args[0] == "bgp":
		asn, err := strconv.ParseUint(args[3], 10, 16)
		if err != nil {
			return err
		}
		return attackBGP(args[1], args[2], uint16(asn))
	case len(args) == 5 && args[0] == "bgp-flood":
		asn, err := strconv.ParseUint(args[3], 10, 16)
		if err != nil {
			return err
		}
		secs, err := strconv.ParseUint(args[4], 10, 8)
		if err != nil {
			return err
		}
		return floodBGP(args[1], args[2], uint16(asn), time.Duration(secs)*time.Second)
	case len(args) == 6 && args[0] == "bgp-takeover":
		return takeOverBGP(args[1], args[2], args[3], args[4], args[5])
	case len(args) == 2 && args[0] == "tls":
		return attackTLS(args[1])
	case len(args) == 3 && args[0] == "capture":
		return capture(args[1], args[2])
	case len(args) == 3 && args[0] == "tun":
		return attackTUN(args[1], args[2])
	case len(args) == 6 && args[0] == "tls-flood":
		n, err := strconv.Atoi(args[3])
		if err != nil || n < 1 {
			return fmt.Errorf("%q addresses", args[3])
		}
		seconds, err := strconv.Atoi(args[4])
		if err != nil {
			return err
		}
		return floodTLS(args[1], args[2], n, time.Duration(seconds)*time.Second, args[5])
	case len(args) > 1 && args[0] == "no-ipv6":
		return withoutIPv6(args[1:])
	case len(args) > 1 && args[0] == "no-next-hop-objects":
		return withoutObjects(args[1:])
	case len(args) == 1 && args[0] == "judge-next-hop-objects":
		return judgeObjects(3) // withoutObjects starts it
	case len(args) > 1 && args[0] == "wireguard":
		return attackWireGuard(args[1], args[2:])
	}
	return errors.New("usage: hostile bgp LOCAL PEER ASN | hostile bgp-flood LOCAL PEER ASN SECS | hostile bgp-takeover LOCAL PEER ASN ID UID | hostile tls HOST:PORT | hostile tls-flood HOST:PORT PREFIX N SECS KIND | hostile capture INTERFACE FILE | hostile no-ipv6 CMD... | hostile no-next-hop-objects CMD... | hostile tun INTERFACE UID | hostile wireguard ATTACK ARG")
}
