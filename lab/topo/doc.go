// Package topo builds whole networks out of network namespaces, veth pairs and
// real processes, for the lab's scenarios, the demo and the bench.
//
// The flow of a program that uses it:
//
//  1. Reexec makes sure that the program may make namespaces: as root it does
//     nothing, without root it runs the program again inside a user namespace,
//     and where neither is possible it says what is missing.
//  2. New removes what killed programs left behind and makes an empty Topology,
//     with a directory for logs and configurations.
//  3. Host makes a namespace, Connect a veth pair between two of them,
//     Host.Route the routes; TwoSites does it all for the usual picture.
//  4. Host.Run runs a command to its end; Host.Start runs one in the background,
//     with its output in a log file.
//  5. Link.Cut and Link.Blackhole break the network, Link.Heal mends it. Link.Path makes a link one of the real
//     world: long, narrow, lossy (lab/path).
//  6. Eventually polls with a bound until something holds; nothing here sleeps
//     in the hope that something happened.
//  7. Topology.Close kills the processes and removes the namespaces.
//
// A namespace is named PREFIX-PID.N-HOST after the program's prefix, its process
// number, a counter and the host, so that two programs never meet, and a later
// one can tell what a dead one has left. Everything is visible to `ip netns`.
//
// A Topology and its hosts may be used by several goroutines at once, except
// that a host, a link or a route must be made by one of them before another uses it.
package topo
