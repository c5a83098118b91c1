package status

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"warren/internal/history"
)

const monitoringPage = "../../docs/monitoring.md"

// rows are those of the tables in a section of docs/monitoring.md: their cells.
func rows(t *testing.T, heading string) (all [][]string) {
	t.Helper()
	text, err := os.ReadFile(monitoringPage)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "| ") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		all = append(all, cells)
	}
	return all
}

// names are those in a cell.
func names(cell string) (all []string) {
	for _, m := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(cell, -1) {
		all = append(all, m[1])
	}
	return all
}

// told compares names with those that a page has.
func told(t *testing.T, what string, are, page []string) {
	t.Helper()
	for _, name := range are {
		if !slices.Contains(page, name) {
			t.Errorf("%s: %s has no row for %s", what, monitoringPage, name)
		}
	}
	for _, name := range page {
		if !slices.Contains(are, name) {
			t.Errorf("%s: %s has %s, which there is not", what, monitoringPage, name)
		}
	}
}

// What a script may read is all in the page, in the row of what it is in, and the page has nothing else.
func TestMonitoringPageHasAllFields(t *testing.T) {
	places := map[reflect.Type]string{
		reflect.TypeFor[Status](): "the whole", reflect.TypeFor[Router](): "`router`", reflect.TypeFor[Speaker](): "`router.speaker`",
		reflect.TypeFor[Source](): "`router.source`", reflect.TypeFor[Hint](): "`router.hints[]`", reflect.TypeFor[Peer](): "`peers[]`",
		reflect.TypeFor[PeerTunnel](): "`peers[].tunnels[]`", reflect.TypeFor[Tunnel](): "`tunnel`", reflect.TypeFor[Carrier](): "`ways[]`",
		reflect.TypeFor[BGP](): "`bgp`", reflect.TypeFor[Families](): "`families`", reflect.TypeFor[Prefixes](): "`families.ipv4`, `families.ipv6`",
		reflect.TypeFor[Reset](): "`last_reset`", reflect.TypeFor[Condition](): "`conditions[]`", reflect.TypeFor[Drain](): "`drained`",
		reflect.TypeFor[TakenDown](): "`down`", reflect.TypeFor[FIB](): "`fib`", reflect.TypeFor[history.Event](): "an event",
	}
	seen := map[reflect.Type]bool{}
	var look func(of reflect.Type)
	look = func(of reflect.Type) {
		for of.Kind() == reflect.Slice || of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || of == reflect.TypeFor[Time]() || of == reflect.TypeFor[history.Time]() || seen[of] {
			return
		}
		seen[of] = true
		place := places[of]
		if place == "" {
			t.Fatalf("where is a %v?", of)
		}
		var fields, page []string
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name != "" && name != "-" {
				fields = append(fields, name)
			}
			if f.IsExported() {
				look(f.Type)
			}
		}
		for _, r := range slices.Concat(rows(t, "All fields of the status"), rows(t, "All events")) {
			if r[0] == place {
				page = append(page, names(r[1])...)
			}
		}
		told(t, place, fields, page)
	}
	look(reflect.TypeFor[Status]())
	if !seen[reflect.TypeFor[history.Event]()] || len(seen) != len(places) {
		t.Errorf("%d of %d kinds of objects were seen", len(seen), len(places))
	}
}

func TestMonitoringPageHasAllEvents(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../history/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var kinds, page []string
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			if of, ok := v.Type.(*ast.Ident); ok && of.Name == "Kind" {
				name, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				kinds = append(kinds, name)
			}
		}
		return true
	})
	if len(kinds) < 20 {
		t.Fatalf("%d kinds of events", len(kinds))
	}
	for _, r := range rows(t, "All events") {
		if r[0] == "event" || r[0] == "in" || r[0] == "an event" {
			continue
		}
		page = append(page, names(r[0])...)
	}
	told(t, "events", kinds, page)
}

// Which conditions leave `warren status --check` at 0 is what the page says of them.
func TestMonitoringPageHasHarmlessConditions(t *testing.T) {
	var page []string
	for _, r := range rows(t, "All conditions") {
		if r[2] == "0" {
			page = append(page, names(r[0])...)
		}
	}
	told(t, "conditions", harmless, page)
}
