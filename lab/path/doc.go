// Package path is a path of the real world between two virtual devices: what is sent into one
// of them comes out of the other a while later, unless it gets lost. The kernel has netem for
// this; not every kernel has netem.
//
//  1. [Open] makes the two devices in the network namespace of the calling process.
//  2. Each direction reads packets, drops what is to be lost (loss.go), and notes when the others
//     are due.
//  3. It writes them to the other device at that time, in their order.
//
// A rate and the queue before it are for the kernel, as by a tbf queue discipline of the device
// that the packets go on to.
package path
