// Command bench measures Warren beside what people use today, in one run on one
// machine:
//
//		go run ./lab/bench [-only NAMES] [-seconds N] [-let-halt] [-out docs/bench] [-readme README.md]
//		                   [-rounds N] [-loss N] [-idle N] [-idle-wireguard N]
//
//	 1. Each contender has an underlay of its own: two network namespaces, joined by a
//	    veth pair with an MTU of 1500 (pair.go).
//	 2. In each of -rounds rounds all are started afresh, and take turns at each test, so
//	    that a machine that becomes slower is slower for all (run.go). There is one file
//	    per contender, with what it is configured as. No processor halts meanwhile
//	    (awake.go).
//	 3. The tests (measure.go): time to the first ping, idle ping, one TCP stream with the
//	    processor time it costs, loaded ping, four TCP streams, small UDP packets
//	    (udp.go), resident memory before and after.
//	 4. They are measured again, one alone, for -loss rounds on each of several paths that lose
//	    packets, without and with a delay (loss.go): a third namespace between the two does
//	    that (wire.go), with the lab's path emulator (lab/path) for the delay.
//	 5. Apart from the rounds, Warren with -idle further idle tunnels over TLS and with
//	    -idle-wireguard over WireGuard (idle.go).
//	 6. Medians, ratios and targets (target.go, report.go) go to the terminal, OUT.md and OUT.json
//	    (document.go), and in short to between the markers of the README (readme.go).
//
// A part whose number is 0 is left out, so each can be run alone, as in
// -rounds 0 -loss 0 -idle 0. The README is rewritten by a run that left nothing out.
//
// With -table, -failover, -paths or -congestion it measures, instead of that, what large tables cost BGP routers, what
// packets notice of failures, tunnels over long, lossy and narrow paths, or the congestion controls of Warren's connections
// over TLS on a grid of such paths:
//
//	go run ./lab/bench -table[=PARTS] [-only NAMES] [-rounds N] [-prefixes N] [-peers N] [-rest DURATION]
//	                   [-idle N] [-idle-wireguard N] [-keepalive D] [-dead-after D] [-out docs/bench] [-speed docs/speed.md]
//	go run ./lab/bench -failover[=PARTS] [-only NAMES] [-rounds N] [-prefixes N] [-spokes N] [-keepalive D] [-dead-after D] …
//	go run ./lab/bench -paths[=PARTS] [-only NAMES] [-rounds N] [-seconds N] …
//	go run ./lab/bench -congestion[=PARTS] [-only NAMES] [-rounds N] [-seconds N] …
//
//	 1. Either is a suite (suite.go) of parts (parts.go), each with a table of its own: participants that
//	    take turns, one alone, started afresh. tableSuite (fullparts.go), failoverSuite (failover.go), pathsSuite
//	    (paths.go) and congestionSuite (congestion.go) list them. Those of -congestion have no table of their own, but a row (rows.go).
//	 2. Tables come from feeders (feed.go, fullfeeder.go) behind a tunnel of two TUN devices, with this program
//	    between them, as bytes that were written before (fullfeed.go). What the kernel has tells when they have
//	    arrived (fullwait.go). fullrouter.go has what each router is configured as.
//	 3. Where a tunnel's packets count, two hosts are joined by one provider or two (lines.go), over which are
//	    Warrens (linewarren.go), or what else keeps two lines (redundant.go, standing.go). Packets 1 ms apart
//	    flow between processes of this program (flow.go, flowmain.go). Many spokes and two hubs are in spokenet.go, and
//	    the packets between them in spokemesh.go.
//	 4. Each path of -paths and -congestion is a wire (wire.go) with conditions of its own (paths.go, congestion.go); lab/path, in
//	    this process, holds and loses its packets. Tests last longer where round trips are long.
//	 5. Medians, multiples and targets go to OUT-table.md and .json and so on, and between
//	    the markers of docs/speed.md, unless something was left out.
//
// An interrupt, or a process that ends when it should not, ends the turn; whatever it has made is removed.
package main
