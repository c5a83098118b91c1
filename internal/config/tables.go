package config

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The kernel's own routing tables, from linux/rtnetlink.h.
const (
	tableDefault = 253
	tableMain    = 254
	tableLocal   = 255
)

// GuardTable is where package underlay copies the host's routes for the transports:
// those of table main. The copy of another table is near to it, within guardTables.
const GuardTable = 827900254

const guardTables = 100_000 // of the same number without the last five digits

// tableFiles are where iproute2 looks up the names of tables, as patterns.
var tableFiles = []string{
	"/etc/iproute2/rt_tables", "/etc/iproute2/rt_tables.d/*.conf",
	"/usr/share/iproute2/rt_tables", "/usr/share/iproute2/rt_tables.d/*.conf",
}

// parseTable reads the name or number of a routing table that learned routes
// may go to.
func parseTable(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		var known bool
		if n, known = tableByName(s); !known {
			return 0, errors.New("is not a routing table; allowed are main, a name from " + tableFiles[0] + ", or 1 to 4294967295")
		}
	}
	if n == 0 || n == tableLocal {
		return 0, errors.New("is the kernel's own; allowed are main, another name from " + tableFiles[0] +
			", or 1 to 4294967295 without 255")
	}
	if n/guardTables == GuardTable/guardTables {
		return 0, errors.New("holds the host's routes for the transports; take another")
	}
	return int(n), nil
}

// tableByName finds a table in iproute2's files, or among the names that hold
// without them.
func tableByName(name string) (uint64, bool) {
	var files []string
	for _, pattern := range tableFiles {
		found, _ := filepath.Glob(pattern) // the patterns are good
		files = append(files, found...)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(strings.NewReader(string(data)))
		for lines.Scan() {
			words := strings.Fields(lines.Text())
			if len(words) < 2 || words[1] != name {
				continue
			}
			// The files give numbers as decimal or as hexadecimal with 0x.
			if n, err := strconv.ParseUint(words[0], 0, 32); err == nil {
				return n, true
			}
		}
	}
	n, ok := map[string]uint64{"main": tableMain, "local": tableLocal, "default": tableDefault}[name]
	return n, ok
}
