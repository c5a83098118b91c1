package main

import (
	"encoding/json"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	b := build{Version: "1.2.3", Go: "go1.26.0", Platform: "linux/amd64"}.with([]debug.BuildSetting{
		{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "0123abc"}, {Key: "vcs.time", Value: "2026-11-27T04:00:00Z"}, {Key: "vcs.modified", Value: "true"},
	})
	var out strings.Builder
	if err := b.print(&out); err != nil {
		t.Fatal(err)
	}
	if want := "warren 1.2.3 go1.26.0 linux/amd64\ncommit 0123abc of 2026-11-27T04:00:00Z, changed since\n"; out.String() != want {
		t.Errorf("got %q", out.String())
	}
	linked := build{Version: "v1-dirty"}.withLinked("0123abc", "1790000000")
	if linked != (build{Version: "v1-dirty", Commit: "0123abc", Date: "2026-09-21T14:13:20Z", Modified: true}) {
		t.Errorf("%+v", linked)
	}
	code, stdout, stderr := run(t, "version", "--json")
	var got build
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 {
		t.Fatalf("exit %d, %v, %q, %q", code, err, stdout, stderr)
	}
	if got.Version != version || got.Go != runtime.Version() || got.Platform != runtime.GOOS+"/"+runtime.GOARCH {
		t.Errorf("%+v", got)
	}
	_, stdout, _ = run(t, "version")
	if first, _, _ := strings.Cut(stdout, "\n"); first != "warren "+got.Version+" "+got.Go+" "+got.Platform {
		t.Errorf("the first line is %q", first)
	}
}
