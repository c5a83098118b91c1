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
// one when they have met (package agent, invitations.go, and packages tlslink and wireguard, invited.go), and forget it.
//
// Peers are invited over TLS or over WireGuard, and by itself over TLS where the inviting router listens for it, as a TCP port is reached
// from more places. Over WireGuard package wireguard does what tlslink does over TLS (its invited.go), and the inviting end
// keeps until the end of the term that the invitation was used: there a stranger gets no answer, and somebody who comes with it is to get one.
// A tunnel over both transports at once (transport = "auto") cannot be invited: two meetings at a time would replace each other's secrets.
package invitation
