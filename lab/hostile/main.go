// Command hostile attacks a Warren router in the lab: with the bytes that have
// killed BGP speakers, from inside a tunnel, and with connections that want
// nothing but to be there, from the underlay. It is bounded in time and
// number, and says what the router did.
//
// Usage:
//
//	hostile bgp LOCAL PEER ASN     PEER's port 179, from address LOCAL, as a router of AS ASN
//	hostile tls HOST:PORT          the transport's port: silence, garbage, half a handshake
package main

import (
	"fmt"
	"os"
	"strconv"
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
	case len(args) == 2 && args[0] == "tls":
		return attackTLS(args[1])
	}
	return fmt.Errorf("usage: hostile bgp LOCAL PEER ASN | hostile tls HOST:PORT")
}
