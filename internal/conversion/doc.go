// Package conversion reads the configurations of other programs and makes peers' files of them: those of
// wg-quick(8), of OpenVPN, and `protocol bgp` of BIRD 2.
//
//  1. [Read] finds out what each file is, and parses it (wgquick.go, openvpn.go, bird.go).
//  2. What a file says of tunnels and of BGP becomes a [Peer]: settings, and notes on each line that has no
//     counterpart (wgpeer.go, ovpnpeer.go, birdpeer.go, birdfilter.go).
//  3. A BGP session is joined to the tunnel that it goes through; one without is a session on a LAN
//     (join.go).
//  4. [Result.Write] writes a file for each peer, and files for keys (write.go). What belongs into
//     warren.toml, which is the operator's, is told.
//
// Files that others wrote are not trusted: what is taken from them is checked for its form, and quoted.
// Where a meaning is not certain nothing is accepted from the peer, and a note says what was there.
package conversion
