package status

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"warren/internal/history"
)

// HistoryQuery says which events of the history are asked for.
type HistoryQuery struct {
	Peer   string    // "": of all peers, and of none
	Since  time.Time // zero: all that are kept
	Last   int       // no more than that many; 0: all
	Follow bool      // those that are to come too
}

func (q HistoryQuery) values() url.Values {
	v := url.Values{"peer": {q.Peer}, "last": {strconv.Itoa(q.Last)}, "follow": {strconv.FormatBool(q.Follow)}}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.Format(time.RFC3339Nano))
	}
	return v
}

func parseHistoryQuery(v url.Values) (q HistoryQuery, err error) {
	var errs [3]error
	q.Peer = v.Get("peer")
	if text := v.Get("since"); text != "" {
		q.Since, errs[0] = time.Parse(time.RFC3339Nano, text)
	}
	if text := v.Get("last"); text != "" {
		q.Last, errs[1] = strconv.Atoi(text)
	}
	if text := v.Get("follow"); text != "" {
		q.Follow, errs[2] = strconv.ParseBool(text)
	}
	return q, errors.Join(errs[:]...)
}

// history answers with a line of JSON for each event, until the client goes if it follows.
func (s *Server) history(run context.Context, w http.ResponseWriter, r *http.Request) {
	q, err := parseHistoryQuery(r.URL.Query())
	if err != nil {
		s.answer(w, nil, err)
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // what is read from now on is the client's end
	w.Header().Set("Content-Type", "application/jsonl")
	ask := history.Query{Peer: q.Peer, Since: q.Since, Last: q.Last}
	// A client may read slowly, but not stop reading.
	more := func() { _ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) }
	for {
		events, next, changed := s.config.History.Select(ask)
		for _, e := range events {
			more()
			line, err := history.Line(e)
			if err == nil {
				_, err = w.Write(line)
			}
			if err != nil {
				s.config.Logger.Debug("the client of the history went away", "err", err)
				return
			}
		}
		more()
		if err := control.Flush(); err != nil || !q.Follow {
			return
		}
		ask = history.Query{Peer: q.Peer, From: next}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		case <-run.Done():
			return
		}
	}
}

// EventLine is an event for people, without a newline: when, whom it is about, what, and what more is known.
func EventLine(e history.Event) string {
	who := e.Peer
	if who != "" && e.Link != nil && *e.Link > 0 {
		who = fmt.Sprintf("%s/%d", who, *e.Link)
	}
	line := fmt.Sprintf("%s  %-12s  %s", e.Time.Local().Format("2006-01-02 15:04:05"), orDash(clean(who)), clean(string(e.Kind)))
	if more := eventDetails(e); more != "" {
		line += "  " + clean(more)
	}
	return line
}

func eventDetails(e history.Event) string {
	var parts []string
	if e.Over {
		parts = append(parts, "over")
	}
	if e.Condition != "" {
		parts = append(parts, e.Condition)
	}
	if e.Transport != "" {
		parts = append(parts, "by "+e.Transport)
	}
	if e.Remote != "" {
		parts = append(parts, e.Remote)
	}
	if e.By != "" {
		parts = append(parts, "by "+e.By)
	}
	if e.Count > 0 {
		parts = append(parts, times(int(e.Count)))
	}
	if e.LastedS > 0 {
		what := "after"
		if e.Kind == history.TunnelDown || e.Kind == history.SessionDown {
			what = "was up"
		}
		parts = append(parts, what+" "+lasted(time.Duration(e.LastedS*float64(time.Second))))
	}
	text := strings.Join(parts, ", ")
	for _, more := range append([]string{e.Cause}, strings.Join(e.Changes, "; ")) {
		if more != "" && text != "" {
			text += ": "
		}
		text += more
	}
	return text
}

// lasted shows a duration, also one of less than a second.
func lasted(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return age(d)
}
