package tun

// pausedQueueLen bounds what waits in each queue while nobody reads it, as the program is being replaced: of a flow of a packet each
// millisecond, what comes in a second.
const pausedQueueLen = 1024

// lengthen lets more packets wait, until each queue was empty once. What is more than fits would get lost when the queues are shortened.
func (d *Device) lengthen() {
	d.mayShorten()
	if err := setQueueLen(d.index, pausedQueueLen); err != nil {
		d.log.Debug("cannot let more packets wait for a reader", "interface", d.name, "err", err)
	}
}

// mayShorten has the queues have their usual length when each was empty.
func (d *Device) mayShorten() {
	d.full.Store(int32(len(d.queues)))
	for _, q := range d.queues {
		q.full.Store(true)
	}
}

// wasEmpty is called by who has found a queue empty.
func (d *Device) wasEmpty(q *queue) {
	if !q.full.Load() || !q.full.CompareAndSwap(true, false) || d.full.Add(-1) > 0 {
		return
	}
	go d.shorten() // it waits for others' changes of interfaces
}

func (d *Device) shorten() {
	if err := setQueueLen(d.index, txQueueLen); err != nil && !d.isClosed() {
		d.log.Debug("cannot set the length of the queues back", "interface", d.name, "err", err)
	}
}
