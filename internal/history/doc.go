// Package history keeps what has happened to the daemon, its tunnels and its sessions, so that an
// operator can see in the morning what was the matter in the night.
//
//  1. Add takes an Event. It never waits for anything but a mutex that is held for moments.
//  2. The last events are in memory, as many as the package's capacity says, each with a bounded size.
//  3. Where there is a File, Run writes each event to it as a line of JSON. When the file has grown to
//     half of its MaxSize it is renamed to PATH.1, in the place of an older one, so that both together
//     never take more than MaxSize. What cannot be written is reported and tried again; if the disk
//     takes so long that events fall out of memory meanwhile, the file says how many.
//  4. When Run begins it reads what the file has, so that the history goes on where an earlier
//     process left it.
//     Where `warren restart` replaces the program, the last events are handed over instead, with the number of the
//     first that is not in the file yet (HandOver, Resume).
//  5. Select gives the events of a time and a peer, and Changed tells when there are others.
//
// The file's directory and the file must belong to root or the daemon's user, and nobody else may write
// to them; the file has mode 0600, because it tells of peers and their addresses.
package history
