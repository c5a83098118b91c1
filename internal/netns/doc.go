// Package netns makes network namespaces and runs functions inside them. It is
// for the lab and for privileged tests; the daemon itself never switches
// namespace.
//
// The Linux network namespace is a property of a thread, not of a process, so
// every switch follows the same steps:
//
//  1. Lock the goroutine to its thread.
//  2. Remember the thread's namespace and setns(2) to the other one.
//  3. Run the function. Sockets it opens and processes it starts belong to the
//     other namespace for ever; goroutines it starts do not, they run on
//     other threads.
//  4. setns(2) back and unlock. If that fails the thread is never unlocked,
//     and the Go runtime ends it together with its goroutine.
//
// [New] makes a named namespace, bound at /run/netns/NAME just as `ip netns add`
// does, so that `ip netns exec NAME …` looks inside it. [Test] gives a test an
// anonymous one that disappears with it. Both work as root and inside
// `unshare -Urnm`, where the caller mounts a tmpfs of its own on /run/netns.
package netns
