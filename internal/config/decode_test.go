package config

import (
	"fmt"
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
			var raw rawPeerFile
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

// TestLinesOfPeers checks that the keys of peers remember their lines in every form that a
// file may have.
func TestLinesOfPeers(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want string // of each peer: name, its line, those of asn, of import's elements, of heads and of weights
	}{
		"headers": {"[peer.a]\n[peer.a.bgp]\nasn = 1\nimport = ['x',\n'y']\n[peer.a.tunnel]\nweight = 1\n[peer.b.bgp]\nasn = 1\n",
			"a 1 3 [4 5] [6] [7]; b 8 9 [] [] []"},
		"no header of its own": {"\n[peer.b.tunnel]\nweight = 1\n[peer.b.bgp]\nasn = 1\n", "b 2 5 [] [2] [3]"},
		"header last":          {"[peer.b.bgp]\nasn = 1\n[peer.b]\n", "b 3 2 [] [] []"},
		"several": {"[peer.a]\n[[peer.a.tunnel]]\nweight = 1\n[[peer.a.tunnel]]\n\nweight = 2\n[peer.a.bgp]\nasn = 1\n[[peer.b.tunnel]]\nweight = 1\n[[peer.b.tunnel]]\nweight = 2\n[peer.b.bgp]\nasn = 1\n",
			"a 1 8 [] [2 4] [3 6]; b 9 14 [] [9 11] [10 12]"},
		"mixed": {"[[peer.a.tunnel]]\nweight = 1\n[[peer.b.tunnel]] # '\nweight = 1\n[peer.a.bgp]\nasn = 1\nimport = [ # [[peer.a.tunnel]]\n'[',\n\n'x']\n[[peer.a.tunnel]]\nweight = 2\n[[peer.b.tunnel]]\nweight = 2\n",
			"a 1 6 [8 10] [1 11] [2 12]; b 3 0 [] [3 13] [4 14]"},
		"inline":  {"[peer]\na = { bgp.asn = 1 }\nb = { bgp = { asn = 1, import = ['x'] }, tunnel = { weight = 1 } }\n", "a 2 2 [] [] []; b 3 3 [3] [3] [3]"},
		"dotted":  {"peer.a.bgp.asn = 1\npeer.b.tunnel.weight = 1\n[peer.b.bgp]\nasn = 1\n", "a 1 1 [] [] []; b 2 4 [] [2] [2]"},
		"quoted":  {"[peer.\"a\"]\n[[peer.'a'.tunnel]]\nweight = 1\n\n[[ \"peer\" . a.tunnel ]]\nweight = 2\n[peer.\"x.y\".bgp]\nasn = 1\n[[peer.\"x.y\".tunnel]]\nweight = 1\n[[peer.\"x.y\".tunnel]]\nweight = 2", "a 1 0 [] [2 5] [3 6]; x.y 7 8 [] [9 11] [10 12]"},
		"windows": {"\xef\xbb\xbf\r\n[peer.a.bgp]\r\nasn = 1\r\n  [[peer.a.tunnel]]\r\nweight = 1\r\n\t[[peer.a.tunnel]]\r\nweight = 2\r\n", "a 2 3 [] [4 6] [5 7]"},
		"texts":   {"[[peer.a.tunnel]]\nprobe = '\\\\'\nweight = 1\nunderlay = \"\"\"\n[[peer.a.tunnel]]\n\"\"\"\n[[peer.a.tunnel]]\nprobe = \"]\\\"[\"\nweight = 2\n", "a 1 0 [] [1 7] [3 9]"},
		"none":    {"[peer]\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := &loader{}
			var raw rawPeerFile
			if !l.decode("f", []byte(c.text), &raw) || len(l.errs) > 0 {
				t.Fatal(l.errs)
			}
			var got []string
			for i, p := range raw.Peers.v {
				asn := 0
				if p.BGP.ASN.state == given {
					asn = p.BGP.ASN.line
				}
				imports, heads, weights := []int{}, []int{}, []int{}
				for _, e := range p.BGP.Import.v {
					imports = append(imports, e.line)
				}
				for n, tunnel := range p.Tunnels.v {
					heads, weights = append(heads, p.Tunnels.heads[n].line), append(weights, tunnel.Weight.line)
					if tunnel.Weight.v != int64(n)+1 {
						t.Errorf("tunnel %d of %s has the weight %d", n, raw.Peers.names[i], tunnel.Weight.v)
					}
				}
				got = append(got, fmt.Sprintf("%s %d %d %v %v %v", raw.Peers.names[i], raw.Peers.heads[i].line, asn, imports, heads, weights))
			}
			if got := strings.Join(got, "; "); got != c.want || !raw.Peers.there {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestLinesOfListOrBoolean checks that the elements of a list that may be a boolean have lines.
func TestLinesOfListOrBoolean(t *testing.T) {
	l := &loader{}
	var raw rawPeerFile
	if !l.decode("f", []byte("[bgp]\nunreachable = [\n'x',\n\n'y' ]\n"), &raw) || len(l.errs) > 0 {
		t.Fatal(l.errs)
	}
	if got := raw.BGP.Unreachable.v.list; len(got) != 2 || got[0].line != 3 || got[1].line != 5 {
		t.Errorf("%+v", got)
	}
}

// TestLinesOfUnknownTables checks that they are found below tables that are there several times
// too, and in time, however many there are and however deep they are.
func TestLinesOfUnknownTables(t *testing.T) {
	for _, c := range []struct {
		text string
		want int
	}{
		{"[[tunnel]]\nweight = 1\n\n[[tunnel]]\nweight = 2\n[[tunnel.x]]\n[[tunnel.x]]\n", 6},
		{"\n[x.y]\n", 2}, {"\n\n[x.y.z.a.b]\n", 3}, {"\nx.y.z = 1\n", 2}, {"\n[[x.y]]\n\n[[x.y]]\n", 2},
		{"[peer.a.tunnel]\n\n[peer.a.x.y]\n", 3},
		{strings.Repeat("\n[x.a]", 1) + strings.Repeat("\n", 10) + "[x" + strings.Repeat(".y", 1000) + "]\n", 2},
	} {
		l := &loader{}
		var raw rawPeerFile
		if !l.decode("f", []byte(c.text), &raw) || len(l.errs) != 1 || l.errs[0].Line != c.want {
			t.Errorf("%.60q: %.300v, want line %d", c.text, l.errs, c.want)
		}
	}
	var many strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&many, "[x.a%d]\n", i)
	}
	l := &loader{}
	if !l.decode("f", []byte(many.String()), &rawPeerFile{}) || len(l.errs) != 1 || l.errs[0].Line != 1 {
		t.Errorf("of many: %.300v", l.errs)
	}
}

// TestManyPeersInOneFile checks that the number of brackets is no limit, their depth is.
func TestManyPeersInOneFile(t *testing.T) {
	var text strings.Builder
	for i := range 500 {
		fmt.Fprintf(&text, "[[peer.s%d.tunnel]]\nweight = 1\n[[peer.s%d.tunnel]]\nweight = 2\n[peer.s%d.bgp]\nimport = ['x', 'y']\n", i, i, i)
	}
	l := &loader{}
	var raw rawPeerFile
	if !l.decode("f", []byte(text.String()), &raw) || len(l.errs) > 0 || len(raw.Peers.v) != 500 {
		t.Fatal(len(raw.Peers.v), l.errs)
	}
	for i, p := range raw.Peers.v {
		if at := raw.Peers.heads[i].line; len(p.Tunnels.v) != 2 || p.Tunnels.v[1].Weight.line != at+3 || p.BGP.Import.line != at+5 {
			t.Fatalf("%s: %d tunnels, the second's weight in line %d, import in %d", raw.Peers.names[i], len(p.Tunnels.v), p.Tunnels.v[1].Weight.line, p.BGP.Import.line)
		}
	}
}
