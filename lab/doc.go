// Package lab runs whole networks of Warren routers in network namespaces,
// with the real binary and the real kernel. It holds tests only.
//
//  1. Each file in scenarios/ is one scenario: the story as commands on top,
//     the routers' configs below (a txtar archive, run by testscript).
//  2. The commands beyond testscript's own are in commands_test.go: they build
//     the network, start and stop routers, break links, and wait until something
//     can be seen, for three minutes at most, or for what LAB_PATIENCE says. No command
//     looks once at what may come later.
//  3. lab/topo has the namespaces, links and processes that they use.
//  4. lab/path makes a link one of the real world, by the command path.
//  5. Scenarios in vm/scenarios need modules that a kernel may lack; `make vm` runs them under another one (lab/vm).
//
// `make lab` runs all scenarios, `make lab RUN=name` those whose file name
// contains name. They are to pass on a machine that does something else besides:
// how fast Warren is, lab/bench says.
package lab
