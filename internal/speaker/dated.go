package speaker

import "time"

// A dated is a time that the process tells of. It comes as a date, which is another one when the clock is set; but it
// was told soon after, and again and again. So it is made a time of this process, by which it stays what it was.
type dated struct {
	said time.Time // the date
	here time.Time // the same, with a monotonic reading
}

// take returns the time of a date that is told now; zero stays zero.
func (d *dated) take(said, now time.Time) time.Time {
	if !said.Equal(d.said) {
		*d = dated{said, said}
		if !said.IsZero() {
			d.here = now.Add(said.Sub(now))
		}
	}
	return d.here
}

// takePast is take of what is over, or has begun, and so is not after now.
func (d *dated) takePast(said, now time.Time) time.Time {
	another := !said.Equal(d.said)
	if d.take(said, now); another && d.here.After(now) {
		d.here = now
	}
	return d.here
}
