// Package speaker runs the BGP speaker in a process of its own and is what the daemon sees of it. What
// parses strangers' bytes has no privileges there, and what it needs of memory and processor, or that
// it dies, hurts no tunnel.
//
// The flow:
//
//  1. [Speaker.Run] starts the daemon's own binary again, as `warren speaker` (start.go), with two
//     sockets to it (package wire). The process gives up its rights (package child).
//  2. [Speaker.Want] keeps what is wanted; a goroutine sends it. Nothing waits for the process: what is
//     not sent yet is replaced (write.go).
//  3. What the process asks for is opened for it, if it is for a neighbor that is wanted
//     (connections.go). What it tells is checked and kept (read.go, bounds.go, table.go); [Speaker.Events] says
//     that there is something to take.
//  4. What it logs goes to the daemon's log, and so does what it panics with (output.go).
//  5. It is ended if it takes more memory than it may (memory.go), and if it does not answer the question whether it
//     works (write.go).
//  6. [Speaker.Explain] asks it about one prefix (explain.go).
//  7. When it ends, another one is started after a pause that grows. Its routes stay until their neighbors
//     have announced them again, or have had time to, and for RestartTime at most (table.go).
//
// The daemon never imports package engine: only the process does.
package speaker
