package speaker

import "time"

// A dated is a time that the process tells of. It comes as a date, which is another one when the clock is set; but it
// was told soon after, and again and again. So it is made a time of this process, by which it stays what it was.
type dated struct {
	said time.Time // the date
	here time.Time // the same, with a monotonic reading
}

// take returns the time of a date that is told now; zero stays zero. bound is what it can be when it is told first.
func (d *dated) take(said, now time.Time, bound func(t, now time.Time) time.Time) time.Time {
	if !said.Equal(d.said) {
		*d = dated{said, bound(said, now)}
		if !d.here.IsZero() {
			d.here = here(d.here, now)
		}
	}
	return d.here
}

// here is a date as a time of this process, by the clock as it is now.
func here(date, now time.Time) time.Time { return now.Add(date.Sub(now)) }
