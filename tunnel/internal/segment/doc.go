// Package segment does in user space what a network card does for a kernel with
// segmentation offload: it cuts the large frames that a TUN gives into packets that
// fit a datagram, and joins packets that arrived into frames that a TUN takes.
//
//  1. [Parse] looks at a frame from a TUN, and [Splitter.Next] makes its packets one
//     after the other, with all lengths and checksums complete;
//  2. [ClampMSS] keeps TCP's segments below the tunnel's MTU;
//  3. [Joiner.Add] puts together consecutive packets of one TCP flow, [Joiner.Append]
//     what two Joiners have, and [Joiner.Flush] returns the frame.
//
// Whatever is joined gives exactly the packets it was made of when it is split again.
//
// A frame is what package tun says: a virtio_net_hdr and an IP packet.
package segment
