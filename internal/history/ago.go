package history

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// ParseAgo reads how long ago the events are that somebody asks for: a duration such as 8h, 90m or 2d.
func ParseAgo(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		if n, err = strconv.ParseUint(days, 10, 16); err == nil {
			d = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil || d <= 0 {
		return 0, errors.New("it is not a duration such as 8h, 90m or 2d")
	}
	return d, nil
}
