// Command bench measures Warren beside what people use today, in one run on one
// machine:
//
//		go run ./lab/bench [-only NAMES] [-seconds N] [-out docs/bench] [-readme README.md]
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
//	    that (wire.go), with a relay of this program's own, for the delay (relay.go).
//	 5. Apart from the rounds, Warren with -idle further idle tunnels over TLS and with
//	    -idle-wireguard over WireGuard (idle.go).
//	 6. Medians, ratios and targets (target.go, report.go) go to the terminal, OUT.md and OUT.json
//	    (document.go), and in short to between the markers of the README (readme.go).
//
// A part whose number is 0 is left out, so each can be run alone, as in
// -rounds 0 -loss 0 -idle 0. The README is rewritten by a run that left nothing out.
//
// With -table it measures, instead of tunnels, how BGP routers take in a full table:
//
//	go run ./lab/bench -table [-only NAMES] [-rounds N] [-prefixes N] [-rest DURATION]
//	                   [-out docs/bench] [-readme README.md]
//
//	 1. Each router is started alone, on a host that a tunnel joins with the feeder's: a TUN
//	    device at each end, and this program between them (fullpair.go). fullrouter.go has
//	    what each is configured as.
//	 2. The feeder (fullfeeder.go) sends bytes that were written before (fullfeed.go):
//	    -prefixes prefixes, single changes, the withdrawal of all (fullrun.go). What the
//	    kernel has tells when each has arrived (fullwait.go).
//	 3. Medians, multiples and targets (fullreport.go) go to OUT-table.md and OUT-table.json
//	    (fulltext.go), and between other markers of the README.
package main
