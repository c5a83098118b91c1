package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"warren/lab/topo"
)

// congestionControl is what inner connections use, and outer ones but for those that choose themselves.
const congestionControl = "cubic"

// firstPingWithin bounds the time from start to the first ping.
const firstPingWithin = 30 * time.Second

// measurement takes one sample of one contender that has just been started.
type measurement struct {
	pair       *pair
	session    *session
	seconds    int // of each test
	startUp    int // seconds of each stream that come before those and do not count
	sample     sample
	congestion string // of the tunnel's own connection, "" without one
}

// tests are in an order that leaves the memory idle until it is read.
var tests = []struct {
	title string
	run   func(*measurement, context.Context) error
}{
	{"idle ping", (*measurement).idlePing},
	{"idle memory", (*measurement).idleMemory},
	{"one stream", (*measurement).oneStream},
	{"ping beside a stream", (*measurement).loadedPing},
	{"four streams", (*measurement).parallelStreams},
	{"small packets", (*measurement).smallPackets},
	{"memory after load", (*measurement).loadedMemory},
}

func (m *measurement) firstPing(ctx context.Context, began time.Time) error {
	// With a deadline, ping goes on until it has one answer; without a route yet it
	// ends at once, and is run again.
	_, err := topo.Eventually(ctx, 5*time.Millisecond, firstPingWithin, func() error {
		_, err := m.pair.a.Run(ctx, "ping", "-n", "-q", "-i", "0.01", "-c", "1", "-w", "1", m.session.addrB)
		return err
	})
	if err != nil {
		return fmt.Errorf("first ping: %w", err)
	}
	if len(m.session.ends) > 0 {
		m.sample[firstPing] = time.Since(began).Seconds()
	}
	return nil
}

// checkCongestion reads what the tunnel's own connection uses, which the report says of
// each contender.
func (m *measurement) checkCongestion(ctx context.Context) error {
	if m.session.tcpPort == 0 {
		return nil
	}
	port := strconv.Itoa(m.session.tcpPort)
	out, err := m.pair.a.Run(ctx, "ss", "-Htni", "state", "established", "( sport = :"+port+" )")
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 1 && strings.Contains(line, "rtt:") {
			m.congestion = f[0]
			return nil
		}
	}
	return fmt.Errorf("no connection of the tunnel to port %s:\n%s", port, out)
}

func (m *measurement) idlePing(ctx context.Context) error {
	times, err := m.ping(ctx, m.seconds*20, 50*time.Millisecond)
	m.sample[idlePing], m.sample[idlePing99] = quantile(times, 0.5), quantile(times, 0.99)
	return err
}

var pingTime = regexp.MustCompile(`time=([0-9.]+) ms`)

// ping sends count pings and returns the round trips of those that were
// answered, in milliseconds. No answer at all is an error.
func (m *measurement) ping(ctx context.Context, count int, interval time.Duration) ([]float64, error) {
	return m.pingTo(ctx, m.session.addrB, count, interval)
}

// pingTo does so to another address of B.
func (m *measurement) pingTo(ctx context.Context, addr string, count int, interval time.Duration) ([]float64, error) {
	out, err := m.pair.a.Run(ctx, "ping", "-n", "-i", format(interval.Seconds(), 3), "-c", strconv.Itoa(count), addr)
	if err != nil {
		return nil, err
	}
	var times []float64
	for _, match := range pingTime.FindAllStringSubmatch(out, -1) {
		ms, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			return nil, fmt.Errorf("ping: %w", err)
		}
		times = append(times, ms)
	}
	return times, nil
}

func (m *measurement) oneStream(ctx context.Context) error {
	before, err := m.cpuSeconds()
	if err != nil {
		return err
	}
	s, err := m.stream(ctx, oneServer, m.seconds)
	if err != nil {
		return err
	}
	after, err := m.cpuSeconds()
	if err != nil {
		return err
	}
	m.sample[oneStream] = s.BitsPerSecond / 1e9
	if len(m.session.ends) > 0 {
		m.sample[cpuPerGB] = (after - before) / (s.Bytes / 1e9)
	}
	return nil
}

func (m *measurement) loadedPing(ctx context.Context) error {
	_, err := m.pingedStream(ctx, 50*time.Millisecond)
	return err
}

// pingedStream pings while one stream runs.
func (m *measurement) pingedStream(ctx context.Context, interval time.Duration) (streamSum, error) {
	var wg sync.WaitGroup
	var sum streamSum
	var streamErr error
	wg.Go(func() { sum, streamErr = m.stream(ctx, oneServer, m.seconds) })
	times, count, pingErr := m.pingBeside(ctx, m.session.addrB, interval)
	wg.Wait()
	m.sample[loadedPing], m.sample[loadedPing99] = quantile(times, 0.5), quantile(times, 0.99)
	m.sample[loadedLoss] = 100 * float64(count-len(times)) / float64(count)
	return sum, errors.Join(pingErr, streamErr)
}

// pingBeside pings an address of B while a stream that starts now counts, from half a second after that
// begins to half a second before it ends. It returns the round trips, and of how many pings.
func (m *measurement) pingBeside(ctx context.Context, addr string, interval time.Duration) (times []float64, count int, err error) {
	count = int(time.Duration(m.seconds-1) * time.Second / interval)
	select {
	case <-time.After(time.Duration(m.startUp)*time.Second + 500*time.Millisecond):
		times, err = m.pingTo(ctx, addr, count, interval)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return times, count, err
}

// parallelStreams runs the streams each from an iperf3 process of its own, so
// that the load generator has as many threads as there are streams.
func (m *measurement) parallelStreams(ctx context.Context) error {
	var wg sync.WaitGroup
	rates, errs := make([]float64, streams), make([]error, streams)
	for i := range streams {
		wg.Go(func() {
			var s streamSum
			s, errs[i] = m.stream(ctx, i, m.seconds)
			rates[i] = s.BitsPerSecond
		})
	}
	wg.Wait()
	for _, r := range rates {
		m.sample[fourStreams] += r / 1e9
	}
	return errors.Join(errs...)
}

// streamSum is what arrived at the receiver.
type streamSum struct {
	Bytes         float64 `json:"bytes"`
	BitsPerSecond float64 `json:"bits_per_second"`
}

// stream sends one TCP stream from A to the numbered iperf3 server on B.
func (m *measurement) stream(ctx context.Context, server, seconds int) (streamSum, error) {
	return m.streamTo(ctx, m.session.addrB, server, seconds)
}

// streamTo does so to another address of B.
func (m *measurement) streamTo(ctx context.Context, addr string, server, seconds int) (streamSum, error) {
	return tcpStream(ctx, m.pair.a, addr, iperfPort+server, m.startUp, seconds)
}

// tcpStream sends one TCP stream from a host to an iperf3 server; what it does in its first seconds, startUp, does not count.
func tcpStream(ctx context.Context, from *topo.Host, addr string, port, startUp, seconds int) (streamSum, error) {
	out, runErr := from.Run(ctx, "iperf3", "-J", "-c", addr, "-p", strconv.Itoa(port),
		"-t", strconv.Itoa(seconds), "-O", strconv.Itoa(startUp), "-C", congestionControl)
	var result struct {
		Error string
		End   struct {
			SumReceived streamSum `json:"sum_received"`
		}
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		return streamSum{}, errors.Join(fmt.Errorf("iperf3: %w", err), runErr)
	}
	if result.Error != "" || runErr != nil || result.End.SumReceived.Bytes == 0 {
		return streamSum{}, errors.Join(fmt.Errorf("iperf3: nothing arrived: %s", result.Error), runErr)
	}
	return result.End.SumReceived, nil
}

func (m *measurement) smallPackets(ctx context.Context) error {
	sent, arrived, err := smallPackets(ctx, m.pair, m.session.addrB, m.seconds)
	m.sample[packetsSent], m.sample[packets] = sent/1e3, arrived/1e3
	return err
}

func (m *measurement) idleMemory(context.Context) error   { return m.memory(idleRSS) }
func (m *measurement) loadedMemory(context.Context) error { return m.memory(loadedRSS) }

// memory notes the resident memory of the larger end.
func (m *measurement) memory(as metric) error {
	for _, p := range m.session.ends {
		rss, err := residentBytes(p.PID())
		if err != nil {
			return err
		}
		m.sample[as] = max(m.sample[as], float64(rss)/(1<<20))
	}
	return nil
}

// cpuSeconds is the processor time of both ends so far.
func (m *measurement) cpuSeconds() (float64, error) {
	var sum float64
	for _, p := range m.session.ends {
		s, err := cpuSeconds(p.PID())
		if err != nil {
			return 0, err
		}
		sum += s
	}
	return sum, nil
}

// quantile is the nearest-rank quantile, 0 of nothing.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
