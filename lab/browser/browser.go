// Package browser has tests look at a page as a person does, in a headless Chromium.
//
// A Tab is a browser of its own for one test. It is driven over a pipe (chromedp), so it may run in any network
// namespace. What it does it does once; what is to be seen is waited for. It notes what the page's console says
// and what the page asks for.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"warren/internal/skip"
)

// within bounds what a test waits for, on a machine that does much else besides.
const within = 90 * time.Second

// Tab is a tab of a headless Chromium. Only its test's goroutine uses it.
type Tab struct {
	t   testing.TB
	ctx context.Context

	mu      sync.Mutex
	console []string
	asked   []string
}

// program is the browser's, of Debian's package chromium-headless-shell or chromium.
func program(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium-headless-shell", "chromium"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	skip.OutsideCI(t, "there is no chromium: make deps installs it")
	return ""
}

// Open starts a browser that ends with the test. enter are the words of a command that runs its arguments where
// the browser is to be, as ip netns exec NAME does; none: here. It must replace itself by what it runs.
func Open(t testing.TB, enter ...string) *Tab {
	t.Helper()
	path := program(t)
	if len(enter) > 0 {
		inside := filepath.Join(t.TempDir(), "chromium")
		script := "#!/bin/sh\nexec " + strings.Join(enter, " ") + " " + path + ` "$@"` + "\n"
		if err := os.WriteFile(inside, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		path = inside
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(1280, 900),
		chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox) // root, as in CI, has no sandbox
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &Tab{t: t, ctx: ctx}
	// The browser lives as long as the context of its first action.
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	b.listen()
	return b
}

// listen notes what the page says and asks for.
func (b *Tab) listen() {
	messages, requests := chromedp.Console(b.ctx), chromedp.Events(b.ctx, network.RequestWillBeSent)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.console = append(b.console, m.String())
			b.mu.Unlock()
		}
	}()
	go func() {
		for e, err := range requests {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.asked = append(b.asked, e.Request.URL)
			b.mu.Unlock()
		}
	}()
}

// Do takes steps of chromedp, each of which must succeed.
func (b *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// Eval is the value of an expression in the page.
func Eval[T any](b *Tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// Text is what is seen of the elements that a selector finds.
func (b *Tab) Text(selector string) string {
	b.t.Helper()
	return Eval[string](b, fmt.Sprintf("[...document.querySelectorAll(%q)].map((e) => e.innerText).join('\\n')", selector))
}

// Until waits until an expression is true.
func (b *Tab) Until(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(within); !Eval[bool](b, expression); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s is not so. The page:\n%s\nconsole: %q", expression, b.Text("body"), b.said())
		}
	}
}

// UntilSays waits until an element's text has a part.
func (b *Tab) UntilSays(selector, part string) {
	b.t.Helper()
	b.Until(fmt.Sprintf("[...document.querySelectorAll(%q)].some((e) => e.innerText.includes(%q))", selector, part))
}

// said is what the console has said.
func (b *Tab) said() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.console...)
}

// Quiet fails if the console had an error, or if something was asked of another server than url.
func (b *Tab) Quiet(url string) {
	b.t.Helper()
	for _, line := range b.said() {
		b.t.Errorf("the console: %s", line)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.asked) == 0 {
		b.t.Error("no request was seen")
	}
	for _, asked := range b.asked {
		if !strings.HasPrefix(asked, url+"/") && asked != "about:blank" {
			b.t.Errorf("the page asked for %s", asked)
		}
	}
}

// Scheme has the page be seen by a person who prefers light or dark.
func (b *Tab) Scheme(name string) {
	b.t.Helper()
	b.Do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return chromedp.Void{}, err
	})
}

// Accessible is each node of the accessibility tree as its role and name.
func (b *Tab) Accessible() (nodes []string) {
	b.t.Helper()
	b.Do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		tree, err := cdp.Call(ctx, t, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		for _, n := range tree.Nodes {
			if !n.Ignored {
				nodes = append(nodes, strings.TrimSpace(value(n.Role)+" "+value(n.Name)))
			}
		}
		return chromedp.Void{}, err
	})
	return nodes
}

func value(v *accessibility.Value) string {
	var text string
	if v != nil {
		_ = json.Unmarshal(v.Value, &text) // what is no text is not looked at
	}
	return text
}

// Shoot keeps a picture of the whole page in the directory WARREN_SCREENSHOTS, if there is one.
func (b *Tab) Shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("WARREN_SCREENSHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
