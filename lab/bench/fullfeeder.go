package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// feederKeepalive is often enough for the shortest hold time that a router offers.
	feederKeepalive = time.Second
	feederHandshake = 5 * time.Second
)

// feeder is the far end of a BGP session of which the near end is measured. It sends what it
// is given and looks at nothing that comes in but for a NOTIFICATION. Its methods may be called
// from several goroutines.
type feeder struct {
	source
	conn net.Conn
	mu   sync.Mutex // held while a message or several are written
	work sync.WaitGroup

	ended chan struct{} // closed at the session's end
	err   error         // why it ended; valid then
}

// acceptFeeder waits for the router to connect, and returns once the session is established.
// A connection on which it is not is given up, and the next awaited. The listener stays open.
func acceptFeeder(ctx context.Context, l *net.TCPListener, from source) (*feeder, error) {
	stop := context.AfterFunc(ctx, func() { _ = l.SetDeadline(time.Now()) })
	defer stop()
	var last error
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return nil, errors.Join(fmt.Errorf("feeder: wait for the router: %w", err), last)
		}
		if last = greet(conn, from); last == nil {
			return newFeeder(conn, from), nil
		}
		conn.Close()
	}
}

// greet exchanges OPENs and the first KEEPALIVEs.
func greet(conn net.Conn, from source) error {
	conn.SetDeadline(time.Now().Add(feederHandshake))
	if _, err := conn.Write(append(openMessage(from.asn, from.addr), keepaliveMessage()...)); err != nil {
		return fmt.Errorf("feeder: send OPEN: %w", err)
	}
	for _, want := range []byte{messageOpen, messageKeepalive} {
		kind, body, err := readMessage(conn)
		if err == nil && kind != want {
			err = fmt.Errorf("message of type %d, body %x; want type %d", kind, body, want)
		}
		if err != nil {
			return fmt.Errorf("feeder: handshake: %w", err)
		}
	}
	conn.SetDeadline(time.Time{})
	return nil
}

// newFeeder takes over the connection of an established session.
func newFeeder(conn net.Conn, from source) *feeder {
	f := &feeder{source: from, conn: conn, ended: make(chan struct{})}
	f.work.Go(f.read)
	f.work.Go(f.keep)
	return f
}

// read discards what comes in until the session ends.
func (f *feeder) read() {
	defer close(f.ended)
	for {
		kind, body, err := readMessage(f.conn)
		if err == nil && kind == messageNotification {
			err = fmt.Errorf("NOTIFICATION %x", body)
		}
		if err != nil {
			f.err = fmt.Errorf("feeder: the session has ended: %w", err)
			return
		}
	}
}

// keep sends KEEPALIVEs until the session ends.
func (f *feeder) keep() {
	tick := time.NewTicker(feederKeepalive)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if f.send(keepaliveMessage()) != nil {
				f.conn.Close() // read tells
				return
			}
		case <-f.ended:
			return
		}
	}
}

// send writes whole messages.
func (f *feeder) send(messages []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.conn.Write(messages); err != nil {
		return fmt.Errorf("feeder: %w", err)
	}
	return nil
}

// failed returns why the session has ended, nil if it has not.
func (f *feeder) failed() error {
	select {
	case <-f.ended:
		return f.err
	default:
		return nil
	}
}

func (f *feeder) close() {
	f.conn.Close()
	f.work.Wait()
}

// feeders are those of one router.
type feeders []*feeder

// failed returns why one's session has ended, nil if none has.
func (fs feeders) failed() error {
	for _, f := range fs {
		if err := f.failed(); err != nil {
			return err
		}
	}
	return nil
}

func (fs feeders) close() {
	for _, f := range fs {
		f.close()
	}
}

// sendAll has each send its messages, all at once, until the context is done: then what waits for the
// router does not wait any longer, and the sessions end.
func (fs feeders) sendAll(ctx context.Context, messages func(*feeder) []byte) error {
	stop := context.AfterFunc(ctx, func() {
		for _, f := range fs {
			f.conn.Close()
		}
	})
	defer stop()
	errs := make([]error, len(fs))
	var wg sync.WaitGroup
	for i, f := range fs {
		wg.Go(func() { errs[i] = f.send(messages(f)) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// readMessage reads one message of at most 4096 octets; it returns its type and what is
// behind its header.
func readMessage(r io.Reader) (kind byte, body []byte, err error) {
	var head [messageHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	length := int(binary.BigEndian.Uint16(head[16:]))
	if length < messageHeader || length > 4096 {
		return 0, nil, fmt.Errorf("message of %d octets", length)
	}
	body = make([]byte, length-messageHeader)
	_, err = io.ReadFull(r, body)
	return head[18], body, err
}
