package config

import (
	"fmt"
	"strconv"
	"strings"
)

// DSCPCopy as a Tunnel's DSCP has packets on the underlay have that of the packet inside.
const DSCPCopy = -1

const (
	copyWord = "copy"
	maxDSCP  = 63
)

// dscp reads which DSCP the packets on the underlay have.
func (l *loader) dscp(v value[nameOrNumber]) int {
	if v.state != given {
		return 0
	}
	dscp, err := parseDSCP(string(v.v))
	if err != nil {
		l.fail(v.place, "%q %v", string(v.v), err)
	}
	return dscp
}

// parseDSCP reads a number, the name of a class (RFC 2474, section 4.2.2; RFC 2597, section 6; RFC 3246;
// RFC 8622), in upper or lower case, or the word for a copy.
func parseDSCP(text string) (int, error) {
	if n, err := strconv.Atoi(text); err == nil && 0 <= n && n <= maxDSCP {
		return n, nil
	}
	digit := func(at int, least, most byte) (n int, ok bool) {
		return int(text[at] - '0'), least <= text[at] && text[at] <= most
	}
	switch name := strings.ToLower(text); {
	case name == copyWord:
		return DSCPCopy, nil
	case name == "le":
		return 1, nil
	case name == "ef":
		return 46, nil
	case len(name) == 3 && name[:2] == "cs":
		if class, ok := digit(2, '0', '7'); ok {
			return 8 * class, nil
		}
	case len(name) == 4 && name[:2] == "af":
		class, known := digit(2, '1', '4')
		if drop, ok := digit(3, '1', '3'); ok && known {
			return 8*class + 2*drop, nil
		}
	}
	return 0, fmt.Errorf(`is not a DSCP; allowed are 0 to %d, the name of a class such as "ef", "af41" or "cs1", and %q for that of the packet inside`, maxDSCP, copyWord)
}
