package agent

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"warren/internal/fib"
)

// noteRoutes takes what fib says, which tries again by itself. There is a line for each cause
// when it comes, with how many routes it is about then, and one when it is over.
func (c conditions) noteRoutes(now time.Time, err error) (out []effect) {
	seen := map[string]bool{}
	for _, f := range routeCauses(err) {
		reason := f.Reason()
		seen[reason] = true
		of := subject{kind: kindRoutes, cause: reason}
		known := c.known[of]
		if known == nil {
			known = &condition{since: now}
			c.known[of] = known
			var attrs []any
			if f.Routes > 0 {
				attrs = []any{"routes", f.Routes, "prefix", f.Prefix, "interface", f.Interface}
			}
			out = append(out, logged{slog.LevelError, "cannot " + f.Op + " routes; trying again", append(attrs, "err", f.Err)})
		}
		known.fails(now, errors.New(routesText(f)))
		if known.tries == 1 {
			out = append(out, known.event(now, of, "cannot "+routesText(f), false))
		}
	}
	for _, of := range slices.SortedFunc(maps.Keys(c.known), func(a, b subject) int { return cmp.Compare(a.cause, b.cause) }) {
		if of.kind != kindRoutes || seen[of.cause] {
			continue
		}
		op, why, _ := strings.Cut(of.cause, ": ")
		after := now.Sub(c.known[of].since).Round(time.Millisecond)
		out = append(out, logged{slog.LevelInfo, "it is possible again to " + op + " routes", []any{"after", after, "was", why}})
		out = append(out, c.known[of].event(now, of, of.cause, true))
		delete(c.known, of)
	}
	return out
}

// routesText is a cause in words, after "cannot".
func routesText(c fib.Cause) string {
	if c.Routes == 0 {
		return fmt.Sprintf("%s routes: %v", c.Op, c.Err)
	}
	return fmt.Sprintf("%s %d routes, the first of which is %s: %v", c.Op, c.Routes, c.Prefix, c.Err)
}

// routeCauses is what routes failed for. Where the kernel could not be asked at
// all, that is the one cause.
func routeCauses(err error) []fib.Cause {
	var failed *fib.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failed):
		return failed.Causes
	}
	return []fib.Cause{{Op: "write", Err: err}}
}
