package wireguard

// changes has the link's interface changed by a goroutine of its own, one change after the other. Each takes the
// kernel's lock of all network configuration, which may be held for seconds while a large table is written, and the
// goroutine of Link.Run sends the keepalives meanwhile. It belongs to that goroutine. The zero changes makes each
// at once.
type changes struct {
	jobs   chan func() error
	done   chan error // of the job under way
	ended  chan struct{}
	queued []change // the first is under way
}

type change struct {
	make func() error
	then func(error) // in the goroutine of Link.Run
}

// start has them made by a goroutine from now on.
func (c *changes) start() {
	c.jobs, c.done, c.ended = make(chan func() error, 1), make(chan error, 1), make(chan struct{})
	go func(jobs <-chan func() error, done chan<- error, ended chan<- struct{}) {
		defer close(ended)
		for job := range jobs {
			done <- job()
		}
	}(c.jobs, c.done, c.ended)
}

// add has a change made, and then called.
func (c *changes) add(make func() error, then func(error)) {
	if c.jobs == nil {
		then(make())
		return
	}
	if c.queued = append(c.queued, change{make, then}); len(c.queued) == 1 {
		c.jobs <- make
	}
}

// made is called with what done delivers.
func (c *changes) made(err error) {
	then := c.queued[0].then
	if c.queued = c.queued[1:]; len(c.queued) > 0 {
		c.jobs <- c.queued[0].make
	}
	then(err)
}

// finish waits until all are made. What follows is made at once.
func (c *changes) finish() {
	for len(c.queued) > 0 {
		c.made(<-c.done)
	}
	close(c.jobs)
	<-c.ended
	c.jobs = nil
}
