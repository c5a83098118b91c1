// Package status is what `warren status`, `warren reload` and `warren log-level`
// see of a running daemon.
//
// How it works:
//
//  1. The daemon runs a Server on a unix socket that only its own user may
//     open. A socket that a killed daemon left is replaced, one that a living
//     daemon holds is not. How many clients there may be is bounded, and how
//     long each may take to ask and to read (see package socket).
//  2. GET /status answers with a Status as JSON, taken from the agent at that
//     moment. POST /reload has the agent read its files again, waits, and
//     answers with a ReloadResult. POST /log-level?level=L changes the level of
//     the log. POST /order has the agent drain a peer, take it down or up, or reset it (order.go).
//     GET /foresee answers with what a reload would do; POST /try?within=D is a reload that is taken
//     back unless POST /confirm comes within that time; POST /undo takes it back at once.
//     GET /history answers with events of the history, a line of JSON for each, and goes on
//     with those to come where that is asked for.
//  3. Get, GetHistory, Reload and SetLogLevel are the client's side; their errors tell an operator what
//     to do, and whether something may have been done (ErrNotAsked). None waits for an answer without end,
//     but for events to come. Table and PeerText write
//     a Status for people, those of a View as a terminal has room for it (columns.go); Down says what of
//     it is down, Plugin judges it by thresholds for monitoring (threshold.go), Gist says whether two differ.
//
// The JSON names are fixed, as other tools read them. Numbers and lists are
// never null, and a time that has not come yet is the empty string.
package status
