// Package logging writes the daemon's log, and sees to it that whatever reads
// the log cannot stop the daemon.
//
// What becomes of a record:
//
//  1. The handler of [Log.Logger] turns it into one line, as text or as JSON,
//     with the priority of sd-daemon(3) before it where the journal reads.
//  2. The line goes into a queue that is bounded in lines and in bytes, which
//     takes no longer than copying it. A line for which there is no room is
//     dropped and counted (queue.go).
//  3. One goroutine takes the lines out and writes them. It alone waits for the
//     reader. When the reader takes lines again, one of them says how many were
//     lost before it.
//  4. [Log.Close] waits, for a bounded time, until the queue is written.
//
// A panic does not come this way: the runtime itself writes it to descriptor 2.
package logging
