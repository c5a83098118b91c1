// Command demo shows Warren at work, from nothing to traffic between two sites:
//
//		go run ./lab/demo          builds it, shows it, removes it
//		KEEP=1 go run ./lab/demo   leaves it up, with hints on what to try
//		go run ./lab/demo -down    removes what KEEP=1 has left
//		go run ./lab/demo -page    shows a browser the status page of what KEEP=1 has left
//
//	 1. Two sites with a LAN host each, and an underlay between them (topo.TwoSites).
//	 2. Keys and configurations, with the commands that a user types (configure.go).
//	 3. Both daemons start; the first ping from LAN to LAN ends the wait (main.go).
//	 4. What they say: status, BGP neighbors, the kernels' routes (show.go).
//	 5. A prefix appears and disappears live, with the milliseconds it took, in
//	    each direction (live.go).
//	 6. A clean stop leaves neither routes nor interfaces.
//
// It exits 0 only if all of that happened. It needs bin/warren and bin/gobgp.
package main
