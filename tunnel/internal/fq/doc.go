// Package fq is a queue that serves flows fairly and keeps itself short: FQ-CoDel (RFC 8290), which is what Linux has as
// fq_codel, for frames of a TUN that wait for a connection. It knows neither sockets nor clocks; who uses it says what time
// it is.
//
// How a packet goes:
//
//  1. [Flow] says by addresses, protocol and ports to which flow it belongs, and [Queue.Push] appends it to one of 256
//     queues by that. If all together are too long the longest of them loses packets.
//  2. [Queue.Pop] serves the queues in turn, as many bytes each (deficit round robin), those first which were empty: so
//     a packet of a flow that sends little passes by those of flows that send much.
//  3. CoDel (RFC 8289) looks at how long the packet has waited. Where that has been more than [Limits.Target] for
//     [Limits.Interval], packets are marked or dropped at the head, more and more often until it is less.
//
// Packets of one flow leave in the order in which they came.
package fq
