package speaker

import (
	"errors"
	"time"

	"golang.org/x/time/rate"

	"warren/bgp"
)

const (
	// What the process may tell of events. It keeps ten thousand itself that are not read yet, and a thousand
	// neighbors that come and go once a second are two thousand a second; what is beyond is left out.
	eventsPerSecond = 2000
	eventBurst      = 10000
	// longestDelay is how long the process may have had to wait before it could tell of an event or write to the log.
	longestDelay = time.Hour
	// longestRestart is more than a neighbor's restart time can be (RFC 4724 section 3: 12 bits of seconds).
	longestRestart = 24 * time.Hour
)

func newEventLimit() *rate.Limiter { return rate.NewLimiter(eventsPerSecond, eventBurst) }

// recent is when something has happened that the process tells of now. What cannot be is now: a time beyond the year
// 9999, for one, has no form in JSON.
func recent(t, now time.Time) time.Time {
	if t.After(now) || now.Sub(t) > longestDelay {
		return now
	}
	return t
}

// past is since when something is so, as the process says. Zero means something else, and stays.
func past(t, now time.Time) time.Time {
	switch {
	case t.After(now):
		return now
	case t.Before(time.Unix(0, 0)):
		return time.Time{}
	}
	return t
}

// coming is until when something is so, as the process says, at most for longestRestart.
func coming(t, now time.Time) time.Time {
	if most := now.Add(longestRestart); t.After(most) {
		return most
	}
	return past(t, t)
}

var errStatus = errors.New("a status that there is not")

// checkStatus refuses numbers that there are not in a status, and bounds what else there is but for times, which
// setStatus does.
func checkStatus(st *bgp.NeighborStatus) error {
	least := min(st.Received, st.Stale, st.Accepted, st.Refused, st.Announced, st.Withheld,
		st.Rival.Prefixes, st.Looped.Prefixes, st.Looped.ByAS, st.Looped.ByOriginator, st.Looped.ByCluster)
	for _, f := range st.Families {
		least = min(least, f.Received, f.Accepted, f.Refused, f.Announced)
	}
	if least < 0 {
		return errStatus
	}
	st.LastError, st.Malformed.Last, st.Looped.Last = short(st.LastError), short(st.Malformed.Last), short(st.Looped.Last)
	st.RemoteRouterID, st.Rival.RouterID, st.Rival.Holder = st.RemoteRouterID.WithZone(""), st.Rival.RouterID.WithZone(""), short(st.Rival.Holder)
	return nil
}
