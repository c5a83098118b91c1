package status

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The figures that a plugin for monitoring looks at ([Plugin]). Their names are those of thresholds and of performance data.
const (
	FigurePeers    = "peers"    // peers without a BGP session
	FigureDown     = "down"     // things that are down, as Down lists them
	FigureRTT      = "rtt"      // round trip of a tunnel, in milliseconds
	FigureLoss     = "loss"     // part of what is sent that gets lost, in percent, of a tunnel over two transports while WireGuard carries it
	FigurePrefixes = "prefixes" // accepted from a peer
	FigureFlaps    = "flaps"    // how often sessions with a peer ended in the last hour
)

// figures are all, in the order in which they are shown.
var figures = []string{FigurePeers, FigureDown, FigureRTT, FigureLoss, FigurePrefixes, FigureFlaps}

// Range are the values that are no reason to alert, or with Inside those that are, both ends included, as the
// Monitoring Plugins Development Guidelines have it (section "Threshold and ranges").
type Range struct {
	Start, End float64 // may be infinite
	Inside     bool    // alert on values inside
	text       string
}

// Alerts reports whether a value is a reason to alert.
func (r Range) Alerts(v float64) bool { return (v >= r.Start && v <= r.End) == r.Inside }

func (r Range) String() string { return r.text }

// plainNumber has no exponent and no infinity: what reads performance data understands neither.
var plainNumber = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// ParseRange reads [@][START]:[END] or [@]END.
func ParseRange(text string) (Range, error) {
	r := Range{End: math.Inf(1), text: text}
	rest, inside := strings.CutPrefix(text, "@")
	r.Inside = inside
	start, end, both := strings.Cut(rest, ":")
	if !both {
		start, end = "", rest
	}
	var err error
	switch {
	case rest == "" || rest == ":":
		return r, errors.New("a number is missing")
	case start == "~":
		r.Start = math.Inf(-1)
	case start != "":
		r.Start, err = parseNumber(start)
	}
	if end != "" && err == nil {
		r.End, err = parseNumber(end)
	}
	if err == nil && r.Start > r.End {
		err = fmt.Errorf("it ends before it begins: %g is more than %g", r.Start, r.End)
	}
	return r, err
}

func parseNumber(text string) (float64, error) {
	if !plainNumber.MatchString(text) {
		return 0, fmt.Errorf("%q is no number; a range is MAX (alert above), MIN: (alert below), MIN:MAX or ~:MAX (alert outside), @MIN:MAX (alert inside)", text)
	}
	return strconv.ParseFloat(text, 64)
}

// Limits are ranges by the names of figures.
type Limits map[string]Range

// Thresholds say what a plugin warns of, and what it calls critical.
type Thresholds struct{ Warning, Critical Limits }

// ParseThresholds reads the two lists of thresholds, such as "rtt=100,prefixes=10:". Each may be empty. Of the figures
// that neither names, two have thresholds all the same: that a peer has no session is critical, and of anything else
// that is down it is warned.
func ParseThresholds(warning, critical string) (t Thresholds, err error) {
	if t.Warning, err = parseLimits(warning); err != nil {
		return t, fmt.Errorf("--warning: %w", err)
	}
	if t.Critical, err = parseLimits(critical); err != nil {
		return t, fmt.Errorf("--critical: %w", err)
	}
	none := Range{text: "0"}
	if !t.has(FigurePeers) {
		t.Critical[FigurePeers] = none
	}
	if !t.has(FigureDown) {
		t.Warning[FigureDown] = none
	}
	return t, nil
}

func (t Thresholds) has(figure string) bool {
	_, warns := t.Warning[figure]
	_, alarms := t.Critical[figure]
	return warns || alarms
}

func parseLimits(text string) (Limits, error) {
	all := Limits{}
	if text == "" {
		return all, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		switch _, twice := all[name]; {
		case !ok:
			return nil, fmt.Errorf("%q is no threshold: write FIGURE=RANGE, as rtt=100 or prefixes=10:, several with commas between", part)
		case !slices.Contains(figures, name):
			return nil, fmt.Errorf("there is no figure %q; there are %s", name, strings.Join(figures, ", "))
		case twice:
			return nil, fmt.Errorf("%s is given twice", name)
		}
		r, err := ParseRange(value)
		if err != nil {
			return nil, fmt.Errorf("%s=%s: %w", name, value, err)
		}
		all[name] = r
	}
	return all, nil
}
