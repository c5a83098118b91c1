package main

// metric is the key of one measured figure in JSON.
type metric string

const (
	oneStream    metric = "one_stream_gbit_s"
	fourStreams  metric = "four_streams_gbit_s"
	packets      metric = "udp_64_byte_kpps"
	packetsSent  metric = "udp_64_byte_sent_kpps"
	idlePing     metric = "idle_ping_median_ms"
	idlePing99   metric = "idle_ping_p99_ms"
	loadedPing   metric = "loaded_ping_median_ms"
	loadedPing99 metric = "loaded_ping_p99_ms"
	loadedLoss   metric = "loaded_ping_lost_percent"
	cpuPerGB     metric = "cpu_s_per_gb"
	idleRSS      metric = "idle_rss_mb"
	loadedRSS    metric = "loaded_rss_mb"
	firstPing    metric = "first_ping_s"
)

// metrics lists them as the table shows them.
var metrics = []struct {
	key    metric
	title  string
	unit   string
	digits int
}{
	{oneStream, "one TCP stream", "Gbit/s", 2},
	{fourStreams, "four TCP streams", "Gbit/s", 2},
	{packets, "64-byte UDP, arrived", "kpps", 0},
	{packetsSent, "64-byte UDP, sent", "kpps", 0},
	{idlePing, "idle ping, median", "ms", 3},
	{idlePing99, "idle ping, p99", "ms", 3},
	{loadedPing, "loaded ping, median", "ms", 2},
	{loadedPing99, "loaded ping, p99", "ms", 2},
	{loadedLoss, "loaded ping, lost", "%", 0},
	{cpuPerGB, "CPU, both ends", "s/GB", 2},
	{idleRSS, "memory of one end, idle", "MB", 1},
	{loadedRSS, "memory of one end, after load", "MB", 1},
	{firstPing, "start to first ping", "s", 2},
}

// sample is what one turn measured; what does not apply is absent.
type sample map[metric]float64

// result is one contender's part of the report.
type result struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Version string   `json:"version"`
	Outer   string   `json:"outer_congestion_control,omitempty"`
	Median  sample   `json:"median"`
	Rounds  []sample `json:"rounds"`
}

// results are the contenders of one part, in the order of the report.
type results []result

// median is one contender's figure; false if it was not measured.
func (r results) median(name string, m metric) (float64, bool) {
	for _, c := range r {
		if c.Name == name {
			v, ok := c.Median[m]
			return v, ok
		}
	}
	return 0, false
}

// ratio is the median over the rounds of one contender's figure divided by another's;
// false without both.
func (r results) ratio(name, to string, m metric) (float64, bool) {
	var ratios []float64
	of, by := r.rounds(name), r.rounds(to)
	for i := range min(len(of), len(by)) {
		v, ok1 := of[i][m]
		w, ok2 := by[i][m]
		if ok1 && ok2 && w > 0 {
			ratios = append(ratios, v/w)
		}
	}
	return quantile(ratios, 0.5), len(ratios) > 0
}

// rounds are what a contender's rounds measured.
func (r results) rounds(name string) []sample {
	for _, c := range r {
		if c.Name == name {
			return c.Rounds
		}
	}
	return nil
}

// add takes the figures of one more turn.
func (r *result) add(s sample) {
	r.Rounds = append(r.Rounds, s)
	r.Median = medians(r.Rounds)
}

// noteCongestion keeps the algorithm of the outer connection, or that it changed.
func (r *result) noteCongestion(algorithm string) {
	if r.Outer != "" && r.Outer != algorithm {
		algorithm = "mixed"
	}
	r.Outer = algorithm
}

// medians takes each figure's median over the rounds.
func medians(rounds []sample) sample {
	values := map[metric][]float64{}
	for _, s := range rounds {
		for key, v := range s {
			values[key] = append(values[key], v)
		}
	}
	out := sample{}
	for key, all := range values {
		out[key] = quantile(all, 0.5)
	}
	return out
}
