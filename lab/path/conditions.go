package path

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Conditions are what becomes of the packets of one direction. The zero value is a link without a path.
type Conditions struct {
	Delay time.Duration // of each packet, one way
	Rate  float64       // bits a second, of whole frames; 0: no limit
	Queue time.Duration // the longest wait before the rate; what would wait longer is dropped
	Loss  Loss

	Reorder   float64       // the share of packets that come late, so that those behind overtake them
	Late      time.Duration // by how much
	Duplicate float64       // the share of packets that come twice

	MTU         int  // bytes of the largest IP packet; 0: all pass
	NoICMP      bool // nobody says that a packet was too big
	NoFragments bool // fragments are dropped, and so is what would have to be fragmented
}

const (
	// DefaultQueue is that before a rate where none is given.
	DefaultQueue = 50 * time.Millisecond
	// DefaultLate is by how much reordered packets are late where nothing is given.
	DefaultLate = 5 * time.Millisecond
)

// Usage is what ParseConditions reads.
const Usage = "[delay DURATION] [rate N(kbit|mbit|gbit) [queue DURATION]] [loss PERCENT% [burst N]] [reorder PERCENT% [late DURATION]] " +
	"[duplicate PERCENT%] [mtu BYTES [no-icmp] [no-fragments]]"

// ParseConditions reads words as in Usage, such as "delay 20ms rate 100mbit loss 1%". DURATION is as in Go;
// burst is how many packets are lost in a row, on average.
func ParseConditions(words []string) (c Conditions, err error) {
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		if set := flags[word]; set != nil {
			set(&c)
			continue
		}
		parse := values[word]
		if parse == nil {
			return c, fmt.Errorf("path: %q is no condition: %s", word, Usage)
		}
		if len(words) == 0 {
			return c, fmt.Errorf("path: a value is missing after %q: %s", word, Usage)
		}
		if err := parse(&c, words[0]); err != nil {
			return c, fmt.Errorf("path: %s %s: %w", word, words[0], err)
		}
		words = words[1:]
	}
	return c, c.complete()
}

var flags = map[string]func(*Conditions){
	"no-icmp":      func(c *Conditions) { c.NoICMP = true },
	"no-fragments": func(c *Conditions) { c.NoFragments = true },
}

var values = map[string]func(c *Conditions, text string) error{
	"delay":     func(c *Conditions, text string) error { return parseDuration(text, &c.Delay) },
	"rate":      func(c *Conditions, text string) error { return parseRate(text, &c.Rate) },
	"queue":     func(c *Conditions, text string) error { return parseDuration(text, &c.Queue) },
	"loss":      func(c *Conditions, text string) error { return parseShare(text, &c.Loss.Share) },
	"burst":     func(c *Conditions, text string) error { return parseNumber(text, &c.Loss.Run) },
	"reorder":   func(c *Conditions, text string) error { return parseShare(text, &c.Reorder) },
	"late":      func(c *Conditions, text string) error { return parseDuration(text, &c.Late) },
	"duplicate": func(c *Conditions, text string) error { return parseShare(text, &c.Duplicate) },
	"mtu": func(c *Conditions, text string) (err error) {
		if c.MTU, err = strconv.Atoi(text); err == nil && (c.MTU < minMTU || c.MTU > 65535) {
			err = fmt.Errorf("allowed are %d to 65535 bytes", minMTU)
		}
		return err
	},
}

// minMTU is the least that any link may have (RFC 791, section 3.2).
const minMTU = 68

// complete fills in what is not given, and refuses what means nothing.
func (c *Conditions) complete() error {
	switch {
	case c.Queue > 0 && c.Rate == 0:
		return fmt.Errorf("path: a queue without a rate is always empty: %s", Usage)
	case c.Loss.Run > 0 && c.Loss.Share == 0:
		return fmt.Errorf("path: burst without loss: %s", Usage)
	case c.Late > 0 && c.Reorder == 0:
		return fmt.Errorf("path: late without reorder: %s", Usage)
	case (c.NoICMP || c.NoFragments) && c.MTU == 0:
		return fmt.Errorf("path: no-icmp and no-fragments say what becomes of packets that are longer than mtu, which is not given: %s", Usage)
	}
	if c.Rate > 0 && c.Queue == 0 {
		c.Queue = DefaultQueue
	}
	if c.Reorder > 0 && c.Late == 0 {
		c.Late = DefaultLate
	}
	if err := c.Loss.Check(); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	return nil
}

func parseDuration(text string, into *time.Duration) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		return err
	}
	if d < 0 || d > time.Minute {
		return fmt.Errorf("allowed are 0s to 1m")
	}
	*into = d
	return nil
}

// parseRate reads a rate as tc writes it, such as 100mbit.
func parseRate(text string, into *float64) error {
	for _, unit := range []struct {
		name string
		bits float64
	}{{"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}} {
		number, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		if err := parseNumber(number, into); err != nil {
			return err
		}
		*into *= unit.bits
		if *into < 1e3 || *into > 1e12 {
			return fmt.Errorf("allowed are 1kbit to 1000gbit")
		}
		return nil
	}
	return fmt.Errorf("the unit is kbit, mbit, or gbit")
}

// parseShare reads a percentage as a share.
func parseShare(text string, into *float64) error {
	number, ok := strings.CutSuffix(text, "%")
	if !ok {
		return fmt.Errorf("the unit is %%")
	}
	if err := parseNumber(number, into); err != nil {
		return err
	}
	*into /= 100
	if *into > 0.5 {
		return fmt.Errorf("allowed are 0%% to 50%%")
	}
	return nil
}

func parseNumber(text string, into *float64) error {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return err
	}
	if math.IsNaN(n) || n < 0 || n > 1e6 {
		return fmt.Errorf("allowed are 0 to 1000000")
	}
	*into = n
	return nil
}
