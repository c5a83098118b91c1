// Package page is the status page: one HTML page that shows a browser the peers and their tunnels live, the
// last hour of each, the ways of a prefix, and the history. It only shows: there is nothing to change.
//
// How it works:
//
//  1. The page, its style and its scripts are files in assets, embedded in the binary and served as they
//     are. Nothing is built, and nothing is loaded from anywhere else: the Content-Security-Policy allows
//     no other origin, no inline script and no markup made from text (Trusted Types). What peers have said
//     is put into the page as text only.
//  2. Run owns all state that there is. While somebody looks it asks the Source for a status once a second,
//     for all viewers together, and sends each viewer what has changed since (picture.go): a peer whose
//     counters alone have changed costs some 60 bytes. A new viewer gets everything first.
//  3. /events hands these frames on as server-sent events. There are at most maxViewers; one that does not
//     read for as long as its queue lasts is dropped, and its browser connects again. So none is waited for.
//     A browser whose tab is not looked at disconnects by itself.
//  4. Every ten seconds, looked at or not, round trip and throughput of each tunnel go into a ring that holds
//     an hour (hour.go): 4.3 KB a tunnel, for at most maxTunnels. /samples.json?peer=NAME has them.
//  5. /why.json?prefix=P[&from=PEER][&to=PEER] is the answer of `warren why --json`. Few questions are worked
//     on at a time.
//  6. A request that a page of another site made in the operator's browser is refused, but for opening the
//     page itself. Which Host may be asked for is the server's to check.
//
// The Page is an http.Handler for "/" and what it names below it. Where no server is configured no Page is
// made, and nothing is sampled.
package page
