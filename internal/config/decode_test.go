package config

import (
	"slices"
	"strings"
	"testing"
)

// TestLines checks that values remember their lines, whatever surrounds them.
func TestLines(t *testing.T) {
	for _, c := range []struct {
		name, text string
		number     int   // line of asn or fib.metric
		elements   []int // lines of announce.networks
	}{
		{"plain", "# c\nasn = 1\nannounce.networks = ['a', 'b']\n", 2, []int{3, 3}},
		{"windows", "\r\nasn = 1\r\n[announce]\r\nnetworks = [\r\n'a',\r\n'b'\r\n]\r\n", 2, []int{5, 6}},
		{"byte-order mark", "\xef\xbb\xbf\nasn = 1\nannounce.networks=[\n'a',\n'b']", 2, []int{4, 5}},
		{"comments in the array", "asn = 1\n[announce]\nnetworks = [ # 'x'\n # \"y\", ]\n'a', # ]\n\n\"b\" ]", 1, []int{5, 7}},
		{"long strings", "[announce]\nnetworks = [\n\"\"\"\na\\\"\"\"\n\"\"\"\"\", '''\n\n]''',\n\"\\\"]\", ''\n]\n[fib]\nmetric=1", 11, []int{3, 5, 8, 8}},
		{"value looks like a key", "name = '''\nasn = 7\n'''\nasn = 1\nannounce.networks = ['networks', \"\"\"\n'a'\"\"\",\n'a']", 4, []int{5, 5, 7}},
		{"quoted keys", "\"asn\" = 1\n['announce']\n\n\"networks\" = [\"\",\n\"\"]", 1, []int{4, 5}},
		{"inline table", "asn = 1\nannounce = { redistribute = [], networks = [\n'a'] }", 1, []int{3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &loader{}
			var raw rawRouter
			if !l.decode("f", []byte(c.text), &raw) || len(l.errs) > 0 {
				t.Fatal(l.errs)
			}
			line := raw.ASN.line
			if raw.FIB.Metric.state == given {
				line = raw.FIB.Metric.line
			}
			if line != c.number {
				t.Errorf("the number is on line %d, want %d", line, c.number)
			}
			var lines []int
			for _, e := range raw.Announce.Networks.v {
				lines = append(lines, e.line)
			}
			if !slices.Equal(lines, c.elements) {
				t.Errorf("elements on lines %v, want %v", lines, c.elements)
			}
		})
	}
}

// TestNesting checks that files cannot exhaust the parser's stack. Without the
// limit the process dies.
func TestNesting(t *testing.T) {
	for _, open := range []string{"[", "{a=", "[[", "[{a="} {
		l := &loader{}
		if l.decode("f", []byte("a="+strings.Repeat(open, maxFile/len(open)-2)), &rawRouter{}) || len(l.errs) != 1 {
			t.Errorf("%s: %v", open, l.errs)
		}
	}
}

// TestManyUnknownKeys checks that a file of junk gives a short answer.
func TestManyUnknownKeys(t *testing.T) {
	l := &loader{}
	var text strings.Builder
	for i := range 10000 {
		text.WriteString("k" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + strings.Repeat("y", i/50) + " = 1\n")
	}
	l.decode("f", []byte(text.String()), &rawRouter{})
	if n := len(l.errs); n != maxUnknown+1 {
		t.Errorf("%d messages", n)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"remotes", "link", "mtu", "dead_after", "asn", "ca_file"}
	for in, want := range map[string]string{
		"remote": "remotes", "remotse": "remotes", "Remotes": "remotes", "lnk": "link", "linkk": "link", "mut": "mtu", "mtu2": "mtu",
		"dead-after": "dead_after", "deadafter": "dead_after", "as": "asn", "cafile": "ca_file",
		"": "", "x": "", "abc": "", "password": "", "peer": "", "timeout": "",
	} {
		if got := nearest(in, names); got != want {
			t.Errorf("%q is taken for %q, want %q", in, got, want)
		}
	}
}

// TestLinesOfSeveral checks that the keys of each table of an array remember their lines.
func TestLinesOfSeveral(t *testing.T) {
	for name, c := range map[string]struct {
		text          string
		heads, weight []int
	}{
		"plain":           {"[[tunnel]]\nweight = 1\n[[tunnel]]\nlink = 1\nweight = 2\n", []int{1, 3}, []int{2, 5}},
		"one":             {"\n[[tunnel]]\nweight = 1", []int{2}, []int{3}},
		"one table":       {"\n[tunnel]\n\nweight = 1", []int{2}, []int{4}},
		"dotted keys":     {"\n\ntunnel.weight = 1", []int{1}, []int{3}},
		"none":            {"[bgp]\nasn = 1\n", nil, nil},
		"windows":         {"\r\n[[tunnel]]\r\nweight = 1\r\n\r\n  [[ tunnel ]] # \"[[tunnel]]\"\r\n\tweight = 2\r\n", []int{2, 5}, []int{3, 6}},
		"byte-order mark": {"\xef\xbb\xbf[[tunnel]]\nweight = 1\n[[tunnel]]\nweight = 2", []int{1, 3}, []int{2, 4}},
		"quoted":          {"[[\"tunnel\"]]\n\"weight\" = 1\n[['tunnel']]\n'weight'= 2", []int{1, 3}, []int{2, 4}},
		"others between":  {"[[tunnel]]\nweight = 1\n[bgp]\nasn = 1\nimport = [\n'x']\n[[tunnel]]\nweight = 2\n", []int{1, 7}, []int{2, 8}},
		"header in a text": {"[[tunnel]]\nprobe = '''\n[[tunnel]]\nweight = 9\n'''\nweight = 1\n[[tunnel]]\nweight = 2\nprobe = \"\"\"\\\"\"\"\n[[tunnel]]\"\"\"\n",
			[]int{1, 7}, []int{6, 8}},
	} {
		t.Run(name, func(t *testing.T) {
			l := &loader{}
			var raw rawPeer
			if !l.decode("f", []byte(c.text), &raw) || len(l.errs) > 0 {
				t.Fatal(l.errs)
			}
			var heads, lines []int
			for i := range raw.Tunnels.v {
				heads = append(heads, raw.Tunnels.heads[i].line)
				w := raw.Tunnels.v[i].Weight
				lines = append(lines, w.line)
				if w.v != int64(i)+1 {
					t.Errorf("%d has the weight %d", i, w.v)
				}
			}
			if !slices.Equal(heads, c.heads) || !slices.Equal(lines, c.weight) {
				t.Errorf("heads on %v, weights on %v; want %v and %v", heads, lines, c.heads, c.weight)
			}
		})
	}
}
