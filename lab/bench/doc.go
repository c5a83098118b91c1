// Command bench measures Warren beside what people use today, in one run on one
// machine:
//
//		go run ./lab/bench [-rounds N] [-seconds N] [-only NAMES] [-out docs/bench]
//
//	 1. Two network namespaces are joined by a veth pair with an MTU of 1500 (pair.go).
//	 2. The contenders take turns, A B C A B C …, for N rounds, so that a machine
//	    that becomes slower is slower for all (run.go). Each is started afresh;
//	    there is one file per contender, with what it is configured as.
//	 3. For each turn the tests run one after another (measure.go): time to the
//	    first ping, idle ping, one TCP stream with the processor time it costs, loaded ping,
//	    four TCP streams, small UDP packets (udp.go), resident memory before and after.
//	 4. Apart from the rounds, Warren with 200 further idle tunnels (idle.go).
//	 5. Medians, ratios and targets go to the terminal, OUT.md and OUT.json (report.go).
package main
