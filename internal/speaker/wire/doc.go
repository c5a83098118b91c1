// Package wire is what the daemon and the speaker's process say to each other.
//
// There are two socket pairs between them:
//
//  1. Messages ([Reader], [Append]) is a stream of frames: a length, a kind, and a payload,
//     which is JSON except for routes (routes.go), of which there may be millions.
//  2. Connections ([Packets]) is a sequence of packets with descriptors: the speaker's process
//     asks for a listener or a connection, and the daemon, which may open sockets, answers with
//     one. A request names a neighbor of the last Want by its number and nothing
//     else, so that the process cannot have a connection to anywhere else.
//
// The process parses what strangers send, and may have been taken over by one. So what comes from
// it is bounded and checked here in its form, and by package speaker in its meaning.
package wire
