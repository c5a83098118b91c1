// Package child is the speaker's process: `warren speaker`, which the daemon starts.
//
//  1. [Main] takes the two sockets to the daemon (package wire) and reads the first frame.
//  2. It gives up what it does not need (confine.go): the user, capabilities, files, sockets. From
//     now on it can do little more than talk to the daemon.
//  3. It starts package engine, whose listeners and connections it asks the daemon for
//     (connections.go).
//  4. What the daemon wants goes to the engine (main.go). What becomes of it goes back (report.go):
//     changes of routes as fast as the daemon takes them, and what changes twice meanwhile only
//     once.
//  5. The log goes line by line to descriptor 2, which the daemon reads (log.go). So does what
//     the runtime writes when the process panics.
//  6. The daemon asks now and then whether the process works; the goroutine that reports answers.
//  7. The process ends when the daemon says so, and when a socket to it closes.
package child
