package tun

import (
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
)

// How many packets wait in each queue to be read. While the kernel changes that, it drops what is sent into the interface, for
// a grace period of RCU, which is some ms on a busy machine (dev_qdisc_change_tx_queue_len in net/sched/sch_generic.c). So it is not
// done because the program is being replaced, but once, for an interface that has so much to carry that packets get lost anyway.
const (
	// queueLen is of a flow of a packet each millisecond what comes in a second, in which nobody may read.
	queueLen = 1024
	// laggingLen is for queues whose reader lags behind. Of 64 KiB packets, with which TCP flows fill them, longer ones would have
	// 64 MB, and a ping waits behind that.
	laggingLen = 128
	// laggingRun is how many bytes the reader takes without a pause by then: what fits into a short queue. A flow of a packet each
	// millisecond has far less waiting after a second.
	laggingRun = laggingLen * 64 << 10
)

// length is about the length of an interface's queues.
type length struct {
	lags  atomic.Bool // a reader has lagged behind since the queues are long
	mu    sync.Mutex  // guards short
	short bool
}

// readSome takes note of what was read of a queue.
func (d *Device) readSome(q *queue) {
	if q.run += q.n; q.run >= laggingRun && !d.length.lags.Load() && d.length.lags.CompareAndSwap(false, true) {
		go d.shorten() // it waits for others' changes of interfaces
	}
}

func (d *Device) shorten() {
	d.length.mu.Lock()
	defer d.length.mu.Unlock()
	if d.length.lags.Load() && !d.length.short {
		d.length.short = d.setQueueLen(laggingLen)
	}
}

// lengthen lets more packets wait again, if a reader has lagged behind: the next one may be long in coming.
func (d *Device) lengthen() {
	d.length.mu.Lock()
	defer d.length.mu.Unlock()
	d.length.lags.Store(false)
	if d.length.short {
		d.length.short = !d.setQueueLen(queueLen)
	}
}

func (d *Device) setQueueLen(packets int) (ok bool) {
	err := setQueueLen(d.index, packets)
	if err != nil && !d.isClosed() {
		d.log.Debug("cannot set the length of the queues", "interface", d.name, "packets", packets, "err", err)
	}
	return err == nil
}

// unqueue takes the queueing discipline of the kernel's default from an interface. Nothing ever waits in it, as a TUN takes every
// packet or drops it, and with several queues it has memory for 3 × 256 × queueLen packets (pfifo_fast for each of the most queues that
// there may be): 6 MB. Without one the interface is only larger than it has to be.
func unqueue(index int) error {
	return netlink.QdiscReplace(&netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Parent: netlink.HANDLE_ROOT}, QdiscType: "noqueue",
	})
}
