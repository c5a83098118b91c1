// Package auto carries a tunnel over two transports at once, TLS over TCP and WireGuard over UDP: one
// interface, and what this end sends goes by the better of the two.
//
//			         ┌── Side ── tlslink.Link ───── TCP ──┐
//			Device ──┤                                    ├── peer
//			         └── Side ── wireguard.Link ─── UDP ──┘
//			               ▲ turn         │ events, round trip
//			             Link.Run ◄───────┘ what the peer has received
//
//		 1. Both transports begin at once and stay authenticated. Each has a device of its own (device.go), of which one is read:
//		    that of the transport which carries. What comes by either is written.
//		 2. The tunnel is up while one of them is. Its events are those of the tunnel, made of theirs (link.go). Both ends derive the
//		    tunnel's addresses from who they are over WireGuard, which both know beforehand, whichever transport comes up first.
//		    A peer that has TLS alone does not say in its hello that it has another transport; with that one they are
//		    those of TLS.
//		 3. Each end chooses for what it sends (choice.go), so that the two directions may go different ways. WireGuard is preferred.
//		    It is left for TLS at once when it is down, which is after dead_after without a sign of life, when nothing has come by it for 3 s while
//	    something does over TLS, which is left for the same reason, or when the peer, which notices first if only this direction is dead,
//	    says over TLS that it hears nothing. It is left after a while in which it
//		    loses clearly more than TCP in the tunnel would by itself, or takes clearly longer.
//		 4. What gets lost the receiver knows, by WireGuard's counters. It tells over TLS each second (losses.go).
//		 5. This end goes back to WireGuard when that has worked for a while, and longer each time that it was left again soon.
//		    At the end of the while it sends empty packets by it, of which next to all must arrive. Each address of the peer's has a while of
//		    its own (history.go), as UDP may pass in one family alone.
//		 6. Few losses may be a reason too, with bbr at this end, where they bound what it sends and a trial shows that TLS carries
//		    more (bound.go). Without bbr, only many are. A trial is judged by a time without a restart of either end in it; this end's next
//		    program goes on with it (handover.go).
//		 7. Several remotes may be several routers. Both transports go to the same one (together.go): WireGuard where TLS is, and TLS,
//		    without a session, where WireGuard is.
//		 8. What a dead transport has read from the interface is lost with it. TCP in the tunnel sends it again, and BGP's session
//		    goes on: it sees no more than lost packets.
//
// The interface has the MTU that both can carry. Where the path of WireGuard's packets is narrower it is smaller while that
// carries.
package auto
