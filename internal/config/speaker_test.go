package config

import "testing"

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"512MiB": 512 << 20, "2GiB": 2 << 30, "64 MB": 64e6, "1TiB": 1 << 40, "8KiB": 8192,
		"": -1, "512": -1, "MiB": -1, "-1MiB": -1, "1.5GiB": -1, "512mib": -1, "9999999999999999TiB": -1, "512MiBs": -1,
	} {
		got, err := parseSize(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q is %d, want %d (%v)", text, got, want, err)
		}
	}
}
