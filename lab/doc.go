// Package lab runs whole networks of Warren routers in network namespaces,
// with the real binary and the real kernel. It holds tests only.
//
//  1. Each file in scenarios/ is one scenario: the story as commands on top,
//     the routers' configs below (a txtar archive, run by testscript).
//  2. The commands beyond testscript's own are in commands_test.go: they build
//     the network, start and stop routers, break links, and wait, with a
//     bound, until something can be seen.
//  3. lab/topo has the namespaces, links and processes that they use.
//
// `make lab` runs all scenarios, `make lab RUN=name` those whose file name
// contains name.
package lab
