// Package judge checks the messages of a BGP peer before a BGP speaker reads
// them, and bounds what the peer can make the speaker hold: bytes in, bytes out,
// without sockets, goroutines or clocks.
//
// The flow:
//
//  1. FromPeer frames messages (message.go) and lets through what may come in
//     the session's state (session.go); anything else is a *Notification.
//  2. The peer's OPEN is read leniently and written in one form, with only the
//     capabilities that matter here (open.go). ToPeer takes the offer of extended
//     messages out of this end's OPEN and learns what it offers (capability.go).
//  3. An UPDATE is taken apart (update.go): its prefixes by family (prefix.go),
//     its attributes by type (attribute.go). What no one may send, what is
//     unknown, and what is of no use here is discarded.
//  4. What an attribute says is checked by its own RFC and RFC 7606 (rules.go,
//     aspath.go). A fault makes all the UPDATE's routes withdrawals; where their
//     prefixes are not surely found it ends the session.
//     Routes that have been here before are withdrawn too, and counted (loop.go). Of the
//     malformed ones some are remembered (invalid.go).
//  5. What is left is written in one form (encode.go). Attributes that might not
//     fit into a message on the way to another peer count as a fault.
//  6. The routes go into a table for each family (change.go, table.go), the
//     attributes once for all routes that have them (intern.go). Policy.Accept
//     and the limits decide what is handed on.
//  7. What changed for the speaker is appended as UPDATEs (outbox.go), with Config.Choose
//     when and as far as HandOn says so (handon.go).
//  8. SetPolicy goes through the tables again (policy.go).
//  9. When a connection is lost and the peer is expected back, Retain marks the routes
//     as stale, and Resume hands them to the Session of the next connection (stale.go);
//     graceful.go has what OPENs say of that.
//  10. Attributes has what a route is compared by with those of other peers (ways.go), and
//     Config.Moved is told what is handed on and withdrawn. Look says what became of a
//     prefix (look.go).
//  11. A ROUTE-REFRESH is handed on when the one before is answered, which Refreshed says (refresh.go).
//
// What is handed on is whole messages of at most 4096 octets; judging it once
// more changes nothing.
package judge
