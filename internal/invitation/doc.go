// Package invitation is how two routers become peers with one command at each.
//
//  1. At the inviting end [Make] chooses what was not given (choose.go), and says which files are to be made: the
//     peer's, and the invitation's, which has a secret and a term (files.go).
//  2. [Line.String] is all that the other end has to know, in one line of text: where the inviting end listens,
//     the secret, both AS numbers and names, the networks of both, and the term (line.go).
//  3. At the other end [Parse] reads the line, which anybody may have made, and [Join] says which files are to be made
//     there: the peer's, the invitation's, and warren.toml if there is none.
//  4. Package peerfile writes them. Both daemons read them as any other files.
//
// The line holds a secret that has gone over a channel of which little is known. So the daemons replace it by another
// one when they have met (package agent, invitations.go, and package tlslink, invited.go), and forget it.
//
// Peers are invited over TLS and not over WireGuard, whose handshake would have to be told to use another
// secret while it is under way; and a TCP port is reached from more places.
package invitation
