// Package tun is a TUN interface whose packets come and go with the kernel's
// segmentation offload: one system call moves up to 64 KiB, and the far TUN gets
// what this one gave, so that no checksum and no segment is computed in between.
//
// How an interface is made ([Open]):
//
//  1. whatever a crash left under the name goes, unless it is no TUN or in use, and
//     what is about to go is waited for (leftover.go);
//  2. water makes a persistent interface, gives it an owner and lets go of it; one
//     that another process attached to before it was owned is made again (owner.go);
//  3. the first queue is attached anew, with IFF_VNET_HDR, for which water has no
//     flag and which the kernel takes only from the first queue of an interface;
//  4. the persistence ends, so that the interface now lives as long as its
//     descriptors, also if the process is killed;
//  5. the other queues follow, and with several of them a descriptor that only
//     writes.
//
// What root changes of an interface afterwards, [Device.Mend] puts right. One that has
// got another name or another namespace is not brought back: its owner closes the device,
// which removes it, and makes another.
//
// How packets move:
//
//  1. a reader waits for its queue ([Device.Wait]) without holding a buffer;
//  2. it takes a buffer and reads frames ([Device.TryRead]) until there are none,
//     but for those that must not be carried ([Config.Refuse]);
//  3. a frame whose segments are too short for the far end is cut before it is
//     sent ([IsFine]);
//  4. the far end checks each frame that came over the network ([Check]), which
//     may be hostile, and writes it ([Device.Write]).
//
// A frame is a virtio_net_hdr (include/uapi/linux/virtio_net.h, 10 bytes, little
// endian) and an IP packet.
//
// Addresses, routes and setting the interface up are somebody else's business.
package tun
