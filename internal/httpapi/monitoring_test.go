package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"warren/internal/history"
)

// monitoring is where the dashboard and the alerts are.
const monitoring = "../../configs/monitoring/"

// exported returns the labels of each metric that there is, by name, with those that Prometheus adds.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	d := &fakeDaemon{is: routerWith(), events: history.New(func(error) {})}
	series, _, _ := scrape(t, newMetrics(d, "v1"))
	all := map[string][]string{"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate", "job", "instance"}}
	for _, s := range series {
		name, rest, _ := strings.Cut(s, "{")
		labels := []string{"job", "instance"}
		for _, l := range regexp.MustCompile(`([a-z_]+)=`).FindAllStringSubmatch(rest, -1) {
			labels = append(labels, l[1])
		}
		all[name] = labels
	}
	return all
}

var (
	selector = regexp.MustCompile(`([A-Za-z_:][A-Za-z0-9_:]*)\s*(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"`)
	grouping = regexp.MustCompile(`\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	window   = regexp.MustCompile(`\[[^\]]*\]`)
	word     = regexp.MustCompile(`[A-Za-z_]+`)
)

// known are the words of PromQL that expressions here use.
var known = strings.Fields("max min sum count avg rate increase time vector and or unless bool quantile_over_time label_values")

// wrong says what of an expression is not in what is exported: metrics, and labels of them.
func wrong(expr string, all map[string][]string) (faults []string) {
	labels := map[string]bool{}
	rest := window.ReplaceAllString(expr, "")
	for _, m := range grouping.FindAllStringSubmatch(rest, -1) {
		for _, l := range word.FindAllString(m[1], -1) {
			labels[l] = true
		}
	}
	rest = grouping.ReplaceAllString(rest, "")
	metrics := 0
	for _, m := range selector.FindAllStringSubmatch(rest, -1) {
		if slices.Contains(known, m[1]) {
			continue
		}
		has, ok := all[m[1]]
		if !ok {
			faults = append(faults, "there is no metric "+m[1])
			continue
		}
		metrics++
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(has, l[1]) {
				faults = append(faults, fmt.Sprintf("%s has no label %s", m[1], l[1]))
			}
		}
		for l := range labels {
			if !slices.Contains(has, l) {
				faults = append(faults, fmt.Sprintf("%s has no label %s", m[1], l))
			}
		}
	}
	if metrics == 0 {
		faults = append(faults, "it names no metric")
	}
	return faults
}

// The check of the expressions finds what it is there for.
func TestExpressionsThatAreWrong(t *testing.T) {
	all := exported(t)
	for expr, bad := range map[string]bool{
		`warren_tunnel_up{peer="a"} == 0`: false, `rate(warren_tunnel_receive_bytes_total[5m]) * 8`: false,
		`max by (job, instance, peer) (warren_bgp_session_up) == 0`: false, `time() - process_start_time_seconds`: false,
		`warren_tunnel_down == 0`: true, `warren_tunnel_up{transports="tls"}`: true, `max by (neighbor) (warren_bgp_session_up)`: true,
		`rate(warren_tunnel_received_bytes_total[5m])`: true, `vector(0)`: true, `sum by (peer) (warren_fib_routes)`: true,
	} {
		if got := wrong(expr, all); (len(got) > 0) != bad {
			t.Errorf("%s: %q", expr, got)
		}
	}
}

// expressions returns those of a rules file, of which each is on a line of its own.
func expressions(t *testing.T) (exprs, alerts []string) {
	t.Helper()
	data, err := os.ReadFile(monitoring + "warren.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		key, val, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "expr":
			exprs = append(exprs, val)
		case "- alert":
			alerts = append(alerts, val)
		}
	}
	if len(exprs) == 0 || len(exprs) != len(alerts) {
		t.Fatalf("%d expressions of %d alerts", len(exprs), len(alerts))
	}
	return exprs, alerts
}

// Alerts name what there is. Each is shown to fire in the tests beside them, which use what there is too.
func TestAlerts(t *testing.T) {
	all := exported(t)
	exprs, alerts := expressions(t)
	for i, expr := range exprs {
		for _, fault := range wrong(expr, all) {
			t.Errorf("%s: %s", alerts[i], fault)
		}
	}
	tests, err := os.ReadFile(monitoring + "warren.rules.test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, alert := range alerts {
		if !regexp.MustCompile(`alertname: ` + alert + `\n +exp_alerts:`).Match(tests) {
			t.Errorf("no test has %s fire", alert)
		}
	}
	played := regexp.MustCompile(`series: '([a-z_]+)(\{.*?\})'`).FindAllStringSubmatch(string(tests), -1)
	if len(played) < len(alerts) {
		t.Errorf("%d series in the tests", len(played))
	}
	for _, m := range played {
		var labels []string
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			labels = append(labels, l[1])
		}
		want := slices.Clone(all[m[1]])
		if slices.Sort(labels); !slices.Equal(labels, slices.Sorted(slices.Values(want))) {
			t.Errorf("the tests have %s with %v; it has %v", m[1], labels, want)
		}
	}
	promtool(t, "", "check", "rules", monitoring+"warren.rules.yml")
	promtool(t, "", "test", "rules", monitoring+"warren.rules.test.yml")
	promtool(t, "", "check", "config", monitoring+"prometheus.yml")
}

// dashboard is what of Grafana's JSON model is looked at.
type dashboard struct {
	UID, Title string
	Panels     []struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ X, Y, W, H int }
		Targets                  []struct{ RefID, Expr, LegendFormat string }
	}
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
			Definition string
		}
	}
	Annotations struct{ List []struct{ Expr string } }
}

// The dashboard shows what there is, in panels that don't cover one another.
func TestDashboard(t *testing.T) {
	data, err := os.ReadFile(monitoring + "grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Title == "" || len(d.Panels) < 10 {
		t.Fatalf("%+v", d)
	}
	all := exported(t)
	exprs := map[string]string{}
	variables := []string{"__rate_interval"}
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		if v.Type == "query" {
			// label_values takes a label after the metric.
			metric, label, _ := strings.Cut(strings.TrimSuffix(v.Definition, ")"), "}, ")
			if name := word.FindString(strings.TrimPrefix(metric, "label_values(")); !slices.Contains(all[name], label) {
				t.Errorf("%s has no label %q", name, label)
			}
			exprs["the variable "+v.Name] = metric + "})"
		}
	}
	for i, a := range d.Annotations.List {
		exprs[fmt.Sprint("annotation ", i)] = a.Expr
	}
	ids, squares := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if p.Title == "" || p.Description == "" || len(p.Targets) == 0 || ids[p.ID] {
			t.Errorf("panel %d %q: %+v", p.ID, p.Title, p)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := squares[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q is on %q, or beyond the edge", p.Title, other)
				}
				squares[[2]int{x, y}] = p.Title
			}
		}
		for _, target := range p.Targets {
			exprs[p.Title+" "+target.RefID] = target.Expr
			name := ""
			for _, m := range selector.FindAllString(target.Expr, -1) {
				if n := regexp.MustCompile(`^[A-Za-z_:]+`).FindString(m); all[n] != nil {
					name = n
					break
				}
			}
			for _, m := range regexp.MustCompile(`\{\{([a-z_]+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if !slices.Contains(all[name], m[1]) {
					t.Errorf("%s: the legend has %s, which %q has not", p.Title, m[1], name)
				}
			}
		}
	}
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for i, where := range slices.Sorted(maps.Keys(exprs)) {
		expr := exprs[where]
		for _, v := range regexp.MustCompile(`\$([A-Za-z_]+)`).FindAllStringSubmatch(expr, -1) {
			if !slices.Contains(variables, v[1]) {
				t.Errorf("%s: there is no variable %s", where, v[1])
			}
		}
		for _, fault := range wrong(expr, all) {
			t.Errorf("%s: %s", where, fault)
		}
		if !strings.HasPrefix(expr, "label_values") {
			fmt.Fprintf(&rules, "      - record: dashboard:%d\n        expr: %s\n", i, strings.ReplaceAll(expr, "$__rate_interval", "5m"))
		}
	}
	// Whether they are PromQL, promtool says.
	if _, err := exec.LookPath("promtool"); err == nil {
		file := filepath.Join(t.TempDir(), "dashboard.yml")
		if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		promtool(t, "", "check", "rules", "--lint=none", file)
	}
}
