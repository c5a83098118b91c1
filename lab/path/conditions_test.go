package path

import (
	"strings"
	"testing"
	"time"
)

func TestParseConditions(t *testing.T) {
	const ms = time.Millisecond
	for text, want := range map[string]Conditions{
		"":                                   {},
		"delay 20ms":                         {Delay: 20 * ms},
		"rate 100mbit":                       {Rate: 100e6, Queue: DefaultQueue},
		"rate 2.5gbit queue 10ms":            {Rate: 2.5e9, Queue: 10 * ms},
		"rate 512kbit":                       {Rate: 512e3, Queue: DefaultQueue},
		"loss 1%":                            {Loss: Loss{Share: 0.01}},
		"loss 1% burst 8":                    {Loss: Loss{Share: 0.01, Run: 8}},
		"reorder 2%":                         {Reorder: 0.02, Late: DefaultLate},
		"late 10ms reorder 2% duplicate 50%": {Reorder: 0.02, Late: 10 * ms, Duplicate: 0.5},
		"mtu 1400":                           {MTU: 1400},
		"mtu 1400 no-icmp no-fragments":      {MTU: 1400, NoICMP: true, NoFragments: true},
		"delay 20ms rate 100mbit queue 50ms loss 1%": {Delay: 20 * ms, Rate: 100e6, Queue: 50 * ms, Loss: Loss{Share: 0.01}},
	} {
		if got, err := ParseConditions(strings.Fields(text)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"delay", "delay 20", "delay -1ms", "delay 2m", "slow 3ms", "rate 100", "rate 0mbit", "rate xmbit", "rate nanmbit", "queue 10ms",
		"loss 1", "loss 60%", "loss -1%", "loss x%", "burst 8", "loss 1% burst -1", "late 5ms", "reorder 51%", "duplicate 2",
		"mtu 67", "mtu 65536", "mtu x", "no-icmp", "no-fragments", "clear",
	} {
		if got, err := ParseConditions(strings.Fields(text)); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}
