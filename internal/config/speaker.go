package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The limits of the [bgp] table.
const (
	defaultRestartTime = time.Minute
	minRestartTime     = time.Second
	maxRestartTime     = time.Hour
	minMemoryMax       = 32 << 20 // less than that the process takes when it has nothing to do
	maxMemoryMax       = 1 << 40
)

func (l *loader) bgp(raw *rawBGP) BGP {
	b := BGP{RestartTime: l.duration(raw.RestartTime, defaultRestartTime, minRestartTime, maxRestartTime)}
	if v := raw.MemoryMax; v.state == given {
		size, err := parseSize(v.v)
		if err == nil && (size < minMemoryMax || size > maxMemoryMax) {
			err = errors.New("is out of range")
		}
		if err != nil {
			l.fail(v.place, "%q %v; allowed are 32MiB to 1TiB", v.v, err)
			return b
		}
		b.MemoryMax = size
	}
	return b
}

// sizeUnits are the units of a size, in bytes.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
}

// parseSize reads a number of bytes with a unit.
func parseSize(text string) (int64, error) {
	for _, u := range sizeUnits {
		number, found := strings.CutSuffix(text, u.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 63)
		if err != nil || n > math.MaxInt64/uint64(u.bytes) {
			break
		}
		return int64(n) * u.bytes, nil
	}
	return 0, fmt.Errorf("is not a size such as 512MiB or 2GiB")
}
