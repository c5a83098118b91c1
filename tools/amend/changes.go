package main

// changes are made in the GoBGP release that go.mod names. Each is to be
// dropped when a release no longer needs it.
var changes = []change{
	// Each neighbor has two tables of this many shards, each with a lock and a
	// map: with 2048 of them 390 KB before the first prefix, nine tenths of what
	// an idle tunnel costs. 64 are still more than there are cores to contend
	// for them. It must be a power of two.
	{pkg: "internal/pkg/table", decl: "destinationShardCount", was: "2048", becomes: "64"},

	// For each path and each neighbor that the path came from, this debug line
	// is put together, also when it is not written: a tenth of the memory and
	// of the time that a large table takes to come in.
	{pkg: "pkg/server", decl: "peer.filterPathFromSourcePeer", was: "peer.fsm.logger.Debug", becomes: ""},

	// For each UPDATE the neighbor's configuration is copied, capabilities and
	// OPEN message included, for those that watch. They read only its address,
	// its peer group and whether it sends several paths, which the neighbor's
	// own configuration, never written to once it is published, says as well.
	{pkg: "pkg/server", decl: "BgpServer.notifyPrePolicyUpdateWatcher", was: "s.toConfig(peer, false)", becomes: "peer.fsm.pConf.ReadOnly()"},

	// A neighbor's configuration is published as a pointer to a variable that is written to
	// again (handleFSMMessage, when a session ends), while others read it without a lock.
	// What is published is a copy, so that the change above may rely on it.
	{pkg: "pkg/server", decl: "pConfAccess.Update", was: "p.conf.Store(conf)", becomes: "p.conf.Store(func() *oc.Neighbor { c := *conf; return &c }())"},
}
