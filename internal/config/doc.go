// Package config turns warren.toml and the files of peers.d into a validated
// [Config], or into the list of everything that is wrong with them. It is the
// only package that knows TOML.
//
// The flow of [Load]:
//
//  1. Read warren.toml and every peers.d/*.toml beside it (load.go), unless others
//     can change them (read.go).
//  2. Decode each into a private struct of raw values. Every value remembers
//     the line it came from; unknown keys, wrong types and syntax errors are
//     collected, not returned (decode.go, raw.go, rawtunnel.go, rawpeer.go, unknown.go).
//     A table that is there several times, [[tunnel]], is in several.go, with what it
//     has to know of a file's text in scan.go; one with a name, [peer.NAME], in rawpeer.go.
//  3. Find the peers in the files (peers.go), and give each what it takes from its
//     template, which keeps its place there (template.go).
//  4. Give each further tunnel of a peer what it leaves out, its number and its
//     keys (rawtunnel.go, tunnels.go).
//  5. Check each value by itself and make it typed: [Config] without its peers
//     in router.go and api.go, [Tunnel] in tunnel.go, remotes.go, addresses.go, trust.go,
//     wireguard.go and external.go, [PeerBGP] in bgp.go.
//     The parsers of addresses, names and filters are in values.go, filter.go
//     and tables.go; the files that hold keys are read by keys.go.
//  6. Check the tunnels against the router and against one another (cross.go).
//     Peers that no file names are made of a template when they connect (accept.go).
//  7. With no mistake collected, return the Config; otherwise all of them,
//     sorted by file and line, as [Errors].
//
// In which keys two configurations differ is in differs.go, where a key is written in where.go.
// [LoadOver] does the same with files as they are going to be. What an invitation is is in invitation.go, and which files
// and lines are a peer's alone, so that it can be removed, in remove.go.
//
// A value that fails is reported and left zero, and the checks that would
// need it are left out, so one mistake makes one message. What is wrong with a template
// is said once too, however many peers take it (errors.go).
package config
