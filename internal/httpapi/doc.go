// Package httpapi answers over HTTP how the router is: for Prometheus, for health checks, for
// scripts, and for the status page. It only tells, and changes nothing.
//
// How a question is answered:
//
//  1. The agent listens at [api] http and hands the listener to [Server.Serve], which bounds how many
//     connections there are, and how long each may take to ask and to read (serve.go).
//  2. What does not name this listener in its Host header is refused, as a web page may have its own
//     name lead here; so is each method but GET and HEAD (guard.go). No answer may be read by
//     pages of other origins.
//  3. A client gets a few answers at a time (slots.go), so that one which does not read
//     takes no other client's place, nor much memory.
//  4. /status.json, /history.json, /healthz and / are in handler.go, /metrics in metrics.go. What is at
//     other paths is Config.Page's.
//  5. The daemon is asked through a [Source]. However often clients ask, its loop gets a few
//     questions a second: those that come together get the same answer (source.go).
package httpapi
