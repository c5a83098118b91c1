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

	// For each UPDATE the neighbor's configuration is copied twice to note when it came: a
	// sixth of all memory that a large table takes to come in. What is shown of a neighbor
	// has that time from the counters of the session, which note it as well.
	{pkg: "pkg/server", decl: "peer.handleUpdate", was: "peer.fsm.pConf.ReadCopy()", becomes: "struct{ Timers oc.Timers }{}"},
	{pkg: "pkg/server", decl: "peer.handleUpdate", was: "peer.fsm.pConf.Update", becomes: ""},

	// What changes between the moment in which a new session is sent the table and the one
	// in which it is taken for established is not sent to it, ever: a route that the peer does
	// not get, or one that it keeps. So the session is established before it is sent the
	// table. What changes meanwhile waits for that (peer.routeRefreshInProgress).
	{
		pkg: "pkg/server", decl: "BgpServer.handleFSMMessage", was: "peer.peerInfo.Store(peerInfo)",
		becomes: "func() { peer.peerInfo.Store(peerInfo); peer.fsm.state.Store(nextState) }()",
	},

	// A neighbor may be deleted while an UPDATE that was read from it, or a change of its state, waits for that. As
	// released the UPDATE is taken all the same: its routes stay in the table, are told to others, and when the
	// neighbor is there again and announces them, nothing has changed. And a change of state is told of the
	// neighbor that was added in its place.
	{
		pkg: "pkg/server", decl: "BgpServer.handleFSMMessage", was: "e.MsgType",
		becomes: "func() fsmMsgType { if peer.fsm.h.ctx.Err() != nil { return -1 }; return e.MsgType }()",
	},

	// The hold timer of an established session is Warren's (bgp/engine/alive.go): GoBGP starts it
	// again when it has taken a message, which with a large table it may do late, and it is the peer
	// that seems silent then.
	{
		pkg: "pkg/server", decl: "fsmHandler.established",
		was: "time.NewTimer(time.Second * time.Duration(conf.Timers.State.NegotiatedHoldTime))", becomes: "&time.Timer{}",
	},
	{pkg: "pkg/server", decl: "fsmHandler.established", was: "holdTimer.Reset", becomes: ""},

	// A queue without end is emptied when its session or its watcher ends. As released what is in it stays, and a
	// goroutine with it, as the one that hands things out is not ready at the moment in which it is asked:
	// hundreds of megabytes for each session that ends while it is being sent a large table.
	{pkg: "pkg/server", decl: "cleanInfiniteChannel", was: "drainChannel(ch.Out())", becomes: "func() { for range ch.Out() { } }()"},

	// The same before the next session of a neighbor, which would send nothing, ever, when it came
	// to the end of the session before, which is in the queue too. Nobody else takes anything out at that time.
	{
		pkg: "pkg/server", decl: "BgpServer.handleFSMMessage", was: "drainChannel(peer.fsm.outgoingCh.Out())",
		becomes: "func() { for peer.fsm.outgoingCh.Len() > 0 { <-peer.fsm.outgoingCh.Out() } }()",
	},

	// For each best path a map is made of the VRFs that it belongs to, which only a
	// connection to zebra reads.
	{pkg: "pkg/server", decl: "BgpServer.notifyBestWatcher", was: "!table.UseMultiplePaths.Enabled", becomes: "false"},

	// For each neighbor the attributes are made that it is to be sent a path with, half a kilobyte of
	// garbage, before its export policy is asked, which most often rejects what was learned. So
	// it is asked before too. It may look at nothing that UpdatePathAttrs changes; Warren's looks at
	// prefixes, neighbors, families, communities and where a path comes from (TestExportPolicyCanBeAskedBefore).
	{
		pkg: "pkg/server", decl: "BgpServer.prePolicyFilterpath", was: "table.UpdatePathAttrs(peer.fsm.logger, peer.fsm.gConf, peerInfo, path)",
		becomes: "func() *table.Path { options.Validate = s.roaTable.Validate; " +
			"if !path.IsLocal() && peer.policy.ApplyPolicy(peer.TableID(), table.POLICY_DIRECTION_EXPORT, path, options) == nil { return nil }; " +
			"return table.UpdatePathAttrs(peer.fsm.logger, peer.fsm.gConf, peerInfo, path) }()",
	},

	// A map never gives memory back. When most of a large table has been withdrawn its maps are
	// made once more, as large as they have to be; that is not done at a size which
	// a prefix that comes and goes passes each time at more than some microseconds.
	{
		pkg: "internal/pkg/table", decl: "Table.deleteDest", was: "delete(shard.mp, key)",
		becomes: `func() { delete(shard.mp, key); switch len(shard.mp) { case 0, 64, 512: ` +
			`m := make(map[addrPrefixKey][]*destination, len(shard.mp)); for k, v := range shard.mp { m[k] = v }; shard.mp = m } }()`,
	},

	// A withdrawal has the path that was announced, as it came, and is not sent to a
	// neighbor whose AS is in that path, which is right as long as such a path is never
	// announced to it. With replace-peer-as it is, under another AS, and would stay.
	{
		pkg: "pkg/server", decl: "isASLoop", was: "slices.Contains(path.GetAsList(), peer.AS())",
		becomes: "!(path.IsWithdraw && peer.fsm.pConf.ReadOnly().AsPathOptions.State.ReplacePeerAs) && slices.Contains(path.GetAsList(), peer.AS())",
	},

	// ORIGINATOR_ID and CLUSTER_LIST are sent with what is reflected, which is what came
	// over iBGP, to clients and others alike (RFC 4456 section 8). As released they are
	// sent to clients alone, so that two reflectors see no loop between them, and with
	// what is not reflected too, under the router ID of a router of another AS. What
	// goes to a neighbor that is no client came from one: the cluster is that one's.
	{
		pkg: "internal/pkg/table", decl: "UpdatePathAttrs", was: "info.PeerType != oc.PEER_TYPE_INTERNAL || !info.RouteReflectorClient",
		becomes: "info.PeerType != oc.PEER_TYPE_INTERNAL",
	},
	{pkg: "internal/pkg/table", decl: "UpdatePathAttrs", was: "info.RouteReflectorClient", becomes: "path.IsIBGP()"},
	{
		pkg: "internal/pkg/table", decl: "UpdatePathAttrs", was: "info.RouteReflectorClusterID",
		becomes: "func() netip.Addr { if info.RouteReflectorClient { return info.RouteReflectorClusterID }; return src.RouteReflectorClusterID }()",
	},

	// What is sent soon after something else goes into UPDATEs together with it, withdrawals first and
	// announcements in no order. So of several changes of a prefix the last one alone may be
	// among them. As released that is the last one for each path that another neighbor has
	// announced, so that whoever is told of two of them, one after the other, may keep the former, or a
	// prefix that was withdrawn. Without several paths for a prefix (RFC 7911) the prefix alone counts.
	{pkg: "pkg/server", decl: "fsmHandler.sendMessageloop", was: "table.CreateUpdateMsgFromPaths(paths, options)", becomes: "table.CreateUpdateMsgFromPaths(" + lastOfEach + ", options)"},

	// What waits for a peer that reads slowly has no bound. Whoever gave GoBGP the connection is told how to see how much
	// it is, and ends a session for which it is too much (bgp/engine/behind.go).
	{
		pkg: "pkg/server", decl: "fsmHandler.sendMessageloop", was: "keepaliveTicker(fsm)",
		becomes: "func() *time.Ticker { if c, ok := conn.(interface{ CountQueue(func() int) }); ok { c.CountQueue(h.outgoing.Len) }; return keepaliveTicker(fsm) }()",
	},

	// When the best path is one of iBGP that is not reflected, the one before is
	// withdrawn. That one may have been reflected.
	{
		pkg: "pkg/server", decl: "filterpath", was: "oldSource.AS != peer.AS()",
		becomes: "(oldSource.AS != peer.AS() || oldSource.RouteReflectorClient)",
	},

	// Of two paths over iBGP the one with the lower ORIGINATOR_ID is better, then the
	// one with the shorter CLUSTER_LIST (RFC 4456 section 9). As released the router
	// IDs of the neighbors decide, by which two reflectors may each take the other's
	// reflection for better than what their client says itself.
	{pkg: "internal/pkg/table", decl: "compareByRouterID", was: "binary.BigEndian.Uint32(path1.GetSource().ID.AsSlice())", becomes: reflectedBy("path1")},
	{pkg: "internal/pkg/table", decl: "compareByRouterID", was: "binary.BigEndian.Uint32(path2.GetSource().ID.AsSlice())", becomes: reflectedBy("path2")},
}

// lastOfEach is Go that takes out of paths those behind which another one to the same prefix comes.
const lastOfEach = `func() []*table.Path { last := make(map[table.PathDestLocalKey]*table.Path, len(paths)); ` +
	`for _, p := range paths { if p != nil && !p.IsEOR() { last[p.GetDestLocalKey()] = p } }; ` +
	`kept := make([]*table.Path, 0, len(paths)); ` +
	`for _, p := range paths { if p == nil || p.IsEOR() || last[p.GetDestLocalKey()] == p || ` +
	`bgp.IsAddPathEnabled(false, p.GetFamily(), []*bgp.MarshallingOption{options}) { kept = append(kept, p) } }; return kept }()`

// reflectedBy is Go that makes a number of a path's originator and the length of its
// CLUSTER_LIST. The lower one is better.
func reflectedBy(path string) string {
	return `func(p *Path) uint64 { id := p.GetOriginatorID(); if !id.IsValid() { id = p.GetSource().ID }; ` +
		`return uint64(binary.BigEndian.Uint32(id.AsSlice()))<<32 | uint64(len(p.GetClusterList())) }(` + path + `)`
}
