package bgp

import "time"

// An Event is something that happened to a session, for a history of it. What is so
// now, NeighborStatus says.
type Event struct {
	Kind     EventKind     `json:"kind"`
	Time     time.Time     `json:"time"`
	Neighbor string        `json:"neighbor"`        // its name
	Cause    string        `json:"cause,omitempty"` // of SessionDown, in words
	Lasted   time.Duration `json:"lasted,omitempty"`
}

// EventKind is a kind of Event.
type EventKind string

// The kinds of events.
const (
	SessionUp   EventKind = "session_up"   // it is established
	SessionDown EventKind = "session_down" // it was established for Lasted, and ended for Cause
)
