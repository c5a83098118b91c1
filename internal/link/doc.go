// Package link sets up tunnel interfaces and watches what prefixes this router
// has of its own.
//
// An interface's life, as the agent drives it:
//
//  1. [RemoveStale] at start removes the TUN devices that a killed daemon left,
//     known by their alias.
//  2. Whoever makes a device marks it with [SetAlias] at once.
//  3. [Prepare] sets its sysctls, then [SetAddresses] and [SetUp].
//  4. [SetAddresses] again when the wanted ones change; [Delete] at the end.
//
// To an interface that somebody else made, [AddAddresses] adds the ones that are
// ours and [RemoveAddresses] takes them away again; nothing else is changed there.
//
// [Inventory] and [Look] say what is there.
//
// These work in the calling thread's network namespace, keep no state and may be
// called from any goroutine.
//
// A [Watcher] knows the kernel's interfaces, addresses and routes:
//
//  1. [NewWatcher] subscribes to the kernel's events, then takes a snapshot.
//  2. [Watcher.Run] takes an event only as a sign that something changed. It
//     waits until no more come, takes a new snapshot, and delivers a value on
//     [Watcher.Changed] if the snapshots differ. That way a lost event, or
//     something the kernel does without one, can't leave a wrong picture
//     behind.
//  3. [Watcher.Locals], [Watcher.Connected] and the others are pure functions of
//     the last snapshot.
package link
