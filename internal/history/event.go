package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Kind is a kind of event, in a word that stays the same from version to version.
type Kind string

// The kinds of events.
const (
	TunnelUp         Kind = "tunnel_up"
	TunnelDown       Kind = "tunnel_down"
	Carried          Kind = "carried" // a tunnel that is up is carried by another of its two transports from now on, which goes for what this end sends
	SessionUp        Kind = "session_up"
	SessionDown      Kind = "session_down"
	Reload           Kind = "reload"            // also one that was refused; Cause then says why
	Restart          Kind = "restart"           // the daemon has started, was replaced (`warren restart`), or was told to stop
	SpeakerRestarted Kind = "speaker_restarted" // the speaker's process has died and is started again
	Limit            Kind = "limit"             // a peer has more prefixes than it may, or not any more
	Malformed        Kind = "malformed"         // messages of a peer that were repaired or in part refused
	Stranger         Kind = "stranger"          // connections that were refused, many in one event
	Underlay         Kind = "underlay"          // addresses, ports, interfaces, and what is below the tunnels
	RouteError       Kind = "route_error"       // routes cannot be written, or can again
	Drain            Kind = "drain"             // an operator takes traffic away from a peer, or from all
	Undrain          Kind = "undrain"           // and gives it back, or the time of the drain is over
	Down             Kind = "down"              // an operator takes a peer down
	Up               Kind = "up"                // and up again
	Reset            Kind = "reset"             // an operator has a peer's tunnels and sessions begin again
	Invitation       Kind = "invitation"        // an invited peer has come, or its term is over
	Lost             Kind = "lost"              // events that are not in the file, because it could not be written for too long
)

// An Event is something that has happened. What does not apply is left out.
type Event struct {
	Time Time   `json:"time"`
	Kind Kind   `json:"event"`
	Peer string `json:"peer,omitempty"`
	// Link tells which of the peer's tunnels it is about; nil: none, or the peer has none.
	Link  *int   `json:"link,omitempty"`
	Cause string `json:"cause,omitempty"` // why, in words

	Transport string  `json:"transport,omitempty"` // of Carried: the one that does
	Interface string  `json:"interface,omitempty"`
	Condition string  `json:"condition,omitempty"` // of Underlay and RouteError: the kind of what does not succeed
	Over      bool    `json:"over,omitempty"`      // what an earlier event told of is over
	Remote    string  `json:"remote,omitempty"`    // on the underlay, with a port where there is one
	LastedS   float64 `json:"lasted_s,omitempty"`  // how long it was up, or wrong, in seconds
	Count     uint64  `json:"count,omitempty"`     // how many it tells of
	// Until is when a drain ends by itself; nil: it does not.
	Until *Time `json:"until,omitempty"`
	// By and UID say on whose behalf it was: "uid 0", or "signal", whose sender is not known.
	By  string `json:"by,omitempty"`
	UID *int64 `json:"uid,omitempty"`
	// Changes are what a reload has changed, or what was wrong with the files.
	Changes []string `json:"changes,omitempty"`

	// here is when this process took the event, by the clock that is never set; zero: another process did.
	here time.Time
}

// dated returns e with its times by the clock as it is set now, as date has it.
func (e Event) dated(date func(time.Time) time.Time) Event {
	if e.here.IsZero() {
		return e
	}
	set := date(e.here).Sub(e.here.Round(0)) // by how much, since
	if set == 0 {
		return e
	}
	e.Time = At(e.Time.Add(set))
	if e.Until != nil {
		until := At(e.Until.Add(set))
		e.Until = &until
	}
	return e
}

// Line is e as a line of JSON, with its newline.
func Line(e Event) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("history: write an event: %w", err)
	}
	return b.Bytes(), nil
}

// Time is a time that is in JSON in UTC, to the millisecond, in the form of RFC 3339.
type Time struct{ time.Time }

// At is the Time of t.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// Seconds is d for Event.LastedS.
func Seconds(d time.Duration) float64 {
	return max(d.Round(time.Millisecond).Seconds(), 0)
}

const (
	maxText    = 1024 // bytes of one text
	maxChanges = 32   // lines of one reload
	maxChange  = 256  // bytes of one of them
)

// bounded returns e with no more text than there may be.
func bounded(e Event) Event {
	for _, text := range []*string{&e.Peer, &e.Cause, &e.Interface, &e.Condition, &e.Remote, &e.By} {
		*text = short(*text, maxText)
	}
	var lines []string
	for i, c := range e.Changes {
		if i == maxChanges {
			lines = append(lines, "…")
			break
		}
		lines = append(lines, short(c, maxChange))
	}
	e.Changes = lines
	return e
}

// short cuts a text, not within a character, and leaves nothing in it that is not printed as it is: some
// of it was said by peers and strangers.
func short(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
	if len(text) <= most {
		return text
	}
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}
