package page

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"warren/internal/history"
	"warren/internal/status"
	"warren/lab/browser"
)

// A peer that goes down is seen without anybody doing anything, and so is one that comes back.
func TestLive(t *testing.T) {
	f := newFake("site-b", "site-c", "site-d")
	url, _ := serve(t, New(f, nil))
	b := browser.Open(t)
	b.Do(chromedp.Navigate(url + "/"))
	b.UntilSays("#link", "Live")
	b.UntilSays("#count", "3, all up")
	if got := browser.Eval[string](b, "document.title"); got != "site-a – Warren" {
		t.Errorf("title %q", got)
	}
	b.Until(`[...document.querySelectorAll('tbody tr td:nth-child(5)')].every((e) => /bit\/s/.test(e.innerText))`)
	f.down("site-c", "no answer for 10s")
	b.UntilSays("#count", "1 of 3 down")
	b.UntilSays("#peer-table tbody:first-of-type", "site-c")
	b.UntilSays("#peer-table tbody:first-of-type", "no answer for 10s")
	b.UntilSays("#history-table tbody tr", "tunnel down")
	if got := browser.Eval[string](b, "document.title"); !strings.HasPrefix(got, "(1 down)") {
		t.Errorf("title %q", got)
	}
	if got := browser.Eval[string](b, "document.getElementById('said').textContent"); got != "site-c is down." {
		t.Errorf("a screen reader is told %q", got)
	}
	f.up("site-c")
	b.UntilSays("#count", "3, all up")
	b.Quiet(url)
}

// The last hour is drawn, with a gap where the tunnel was down, and said in words.
func TestLastHour(t *testing.T) {
	f := newFake("site-b")
	p := New(f, nil)
	f.fill(p, 20*time.Millisecond)
	url, _ := serve(t, p)
	b := browser.Open(t)
	b.Do(chromedp.Navigate(url + "/"))
	b.UntilSays("figcaption", "Round trip")
	b.UntilSays("figcaption", "highest")
	b.Until("document.querySelectorAll('svg.chart path').length === 3")
	if moves := browser.Eval[int](b, "document.querySelector('svg.chart path').getAttribute('d').split('M').length - 1"); moves != 2 {
		t.Errorf("the line of the round trips has %d parts, want one before and one after the gap", moves)
	}
	if !browser.Eval[bool](b, "[...document.querySelectorAll('figure')].every((f) => f.getAttribute('aria-label').includes('last hour') && f.querySelector('svg').getAttribute('aria-hidden') === 'true')") {
		t.Error("a drawing is not told of in words alone")
	}
	b.Scheme("light")
	b.Shoot("one-light")
	b.Scheme("dark")
	b.Shoot("one-dark")
	b.Quiet(url)
}

func answerOf(q status.WhyQuestion) (status.Why, error) {
	if q.From == "nobody" {
		return status.Why{}, status.ErrNoPeer
	}
	y := status.Why{Prefix: q.Of.String(), Candidates: []status.WhyCandidate{
		{Peer: "site-b", Interface: "site-b", Verdict: "best", Reason: "shortest AS_PATH", Origin: "IGP", ASPath: "64513", LocalPref: 100, NextHop: "fe80::1", Communities: []string{"64512:1", hostile}},
		{Peer: "site-c", Interface: "site-c", Verdict: "filtered", Reason: "import of site-c does not take it", By: "/etc/warren/peers.d/site-c.toml:7 import"},
	}, Kernel: status.WhyKernel{To: "10.2.0.0", Route: "10.2.0.0/24 dev site-b proto bgp", Owned: true},
		AnnouncedTo: []string{"site-c"}, NotAnnouncedTo: []status.WhyExport{{Peer: "site-b", Reason: "it comes from there"}}}
	return y, nil
}

func TestWhyForm(t *testing.T) {
	f := newFake("site-b", "site-c", "site-d")
	f.why = answerOf
	url, _ := serve(t, New(f, nil))
	b := browser.Open(t)
	b.Do(chromedp.Navigate(url + "/"))
	b.UntilSays("#link", "Live")
	b.Do(chromedp.SendKeys(chromedp.CSS("#why-prefix"), "10.2.0.0/24"+kb.Enter))
	b.Until("document.activeElement.id === 'why-answer'")
	for _, want := range []string{
		"10.2.0.0/24", "best", "filtered", "/etc/warren/peers.d/site-c.toml:7 import", "AS_PATH 64513",
		"Kernel: a packet to 10.2.0.0 takes 10.2.0.0/24 dev site-b proto bgp: Warren’s", "Announced to: site-c", "site-b: it comes from there",
	} {
		b.UntilSays("#why-answer", want)
	}
	b.Shoot("why")
	b.Quiet(url)

	// A mistake is said, and the field has the focus again.
	b.Do(chromedp.SetValue(chromedp.CSS("#why-prefix"), "10.2.0.0/99"), chromedp.Click(chromedp.CSS("#why-form button")))
	b.UntilSays("#why-problem", "10.2.0.0/99")
	b.Until("document.activeElement.id === 'why-prefix' && document.getElementById('why-answer').hidden")
}

// hostile is what a peer may call itself, or say for a reason.
const hostile = `"><img src=x onerror="window.bad=1"><script>window.bad=1</script>` + "\u202e"

// What peers and strangers have said is text, wherever the page shows it.
func TestHostileTextStaysText(t *testing.T) {
	f := newFake("site-b", hostile)
	f.why = answerOf
	f.status.Router.Hints = []status.Hint{{Text: hostile, Peer: hostile}}
	f.status.Router.Conditions = []status.Condition{{Kind: "x", Text: hostile, Tries: 1}}
	f.change(hostile, func(p *status.Peer) {
		p.Tunnels[0].Remote, p.Tunnels[0].Key, p.Tunnels[0].BGP.LastMalformed = hostile, hostile, hostile
		p.Conditions = []status.Condition{{Kind: "x", Text: hostile, Tries: 2}}
	})
	f.down(hostile, hostile)
	f.Add(history.Event{Kind: history.Stranger, Remote: hostile, Cause: hostile, Changes: []string{hostile}})
	url, _ := serve(t, New(f, nil))
	b := browser.Open(t)
	b.Do(chromedp.Navigate(url + "/"))
	b.UntilSays("#peer-table tbody:first-of-type", "<img src=x")
	b.UntilSays("dd", "<img src=x")
	b.UntilSays("#notes-list li", "<img src=x")
	b.UntilSays("#history-table td", "<img src=x")
	b.Do(chromedp.SendKeys(chromedp.CSS("#why-prefix"), "10.2.0.0/24"+kb.Enter))
	b.UntilSays("#why-answer", "<img src=x")
	if browser.Eval[bool](b, "'bad' in window") {
		t.Error("a script ran that a peer has sent")
	}
	if n := browser.Eval[int](b, "document.querySelectorAll('body img, body script').length"); n != 0 {
		t.Errorf("%d elements are a peer's", n)
	}
	if browser.Eval[bool](b, "document.body.textContent.includes('\\u202e')") {
		t.Error("what a peer has said turns the direction of writing")
	}
	b.Quiet(url)
	// What would run if somebody put text in as markup does not: the policy forbids that too.
	if got := browser.Eval[string](b, "try { document.body.innerHTML = '<b>x</b>'; 'done' } catch (e) { e.name }"); got != "TypeError" {
		t.Errorf("markup can be made of text: %s", got)
	}
}

// What an operator has drained or taken down is no alarm, and says by whom.
func TestOperator(t *testing.T) {
	f := newFake("site-b", "site-c", "site-d", "site-e")
	f.down("site-c", "taken down")
	since := status.At(time.Now().Add(-5 * time.Minute))
	f.change("site-c", func(p *status.Peer) { p.Down = &status.TakenDown{Since: since, By: "uid 0", Message: hostile} })
	f.change("site-d", func(p *status.Peer) { p.Drained = &status.Drain{Since: since, By: "uid 1000"} })
	f.down("site-e", "no answer for 10s")
	url, _ := serve(t, New(f, nil))
	b := browser.Open(t)
	b.Do(chromedp.Navigate(url + "/"))
	b.UntilSays("#count", "1 of 4 down, 2 drained or taken down")
	order := browser.Eval[string](b, "[...document.querySelectorAll('#peer-table tbody button')].map((e) => e.innerText).join()")
	if order != "site-e,site-c,site-d,site-b" {
		t.Errorf("the order is %s", order)
	}
	b.UntilSays("#peer-table tbody:nth-of-type(2)", "taken down 5 min ago by uid 0: \"><img")
	b.UntilSays("#peer-table tbody:nth-of-type(3)", "drained for 5 min by uid 1000")
	if n := browser.Eval[int](b, "document.querySelectorAll('#peer-table tbody:nth-of-type(2) .bad').length"); n != 0 {
		t.Error("a peer that was taken down looks like an alarm")
	}
	if got := browser.Eval[string](b, "document.title"); !strings.HasPrefix(got, "(1 down)") {
		t.Errorf("title %q", got)
	}
	b.Shoot("operator")
	b.Quiet(url)
}

// A daemon that stops is missed, and one that starts again is shown, by itself.
func TestDaemonGoesAndComesBack(t *testing.T) {
	f := newFake("site-b", "site-c", "site-d")
	url, stop := serve(t, New(f, nil))
	b := browser.Open(t)
	b.Do(chromedp.Navigate(url + "/"))
	b.UntilSays("#link", "Live")
	b.Do(chromedp.Click(chromedp.CSS("#peer-table tbody:nth-of-type(2) button")))
	stop()
	b.UntilSays("#link", "The daemon does not answer since")
	b.UntilSays("#link", "What is shown is of before")
	b.Shoot("gone")
	g := newFake("site-b", "site-c", "site-e")
	g.down("site-e", "connection refused")
	serveAt(t, New(g, nil), strings.TrimPrefix(url, "http://"))
	b.UntilSays("#link", "Live")
	b.UntilSays("#count", "1 of 3 down")
	b.Until("document.querySelectorAll('#peer-table tbody').length === 3")
	b.Until("document.activeElement.textContent === 'site-c' && document.activeElement.getAttribute('aria-expanded') === 'true'")
}

// A daemon that is there and whose state cannot be had says so.
func TestTrouble(t *testing.T) {
	f := newFake("site-b")
	url, _ := serve(t, New(f, nil))
	b := browser.Open(t)
	b.Do(chromedp.Navigate(url + "/"))
	b.UntilSays("#link", "Live")
	f.mu.Lock()
	f.err = fmt.Errorf("the agent is busy")
	f.mu.Unlock()
	b.UntilSays("#link", "the daemon does not say what its state is: the agent is busy")
	f.mu.Lock()
	f.err = nil
	f.mu.Unlock()
	b.UntilSays("#link", "Live")
	b.Quiet(url)
}

// Two hundred peers are found by the filter, and those that are down come first.
func TestManyPeers(t *testing.T) {
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprintf("branch-%03d", i))
	}
	f := newFake(names...)
	f.change("branch-007", func(p *status.Peer) {
		second := p.Tunnels[0]
		second.Link, second.Interface, second.State, second.LastError = 1, "branch-007.1", "down", "no route to 203.0.113.9"
		second.BGP.State = "idle"
		p.Tunnels = append(p.Tunnels, second)
	})
	f.down("branch-150", "no answer for 10s")
	f.down("branch-031", "the peer's certificate has expired")
	p := New(f, nil)
	f.fill(p, 30*time.Millisecond)
	url, _ := serve(t, p)
	b := browser.Open(t)
	b.Do(chromedp.Navigate(url + "/"))
	b.UntilSays("#count", "3 of 200 down")
	first := "[...document.querySelectorAll('#peer-table tbody')].filter((t) => !t.hidden).slice(0, 3).map((t) => t.querySelector('button').innerText).join()"
	if got := browser.Eval[string](b, first); got != "branch-031,branch-150,branch-007" {
		t.Errorf("the first rows are those of %s", got)
	}
	b.UntilSays("#peer-table tbody", "branch-007/1")
	b.Shoot("many")
	b.Do(chromedp.SendKeys(chromedp.CSS("#filter"), "down branch-15"))
	b.UntilSays("#count", "1 shown")
	if got := browser.Eval[string](b, first); got != "branch-150" {
		t.Errorf("the filter shows %s", got)
	}
	// While one types, a peer that goes down moves to the top, and the focus stays.
	f.down("branch-151", "no answer for 10s")
	b.UntilSays("#count", "2 shown")
	b.Until("document.activeElement.id === 'filter'")
	b.Quiet(url)
}

// All that can be done can be done with the keyboard, in the order in which it is seen.
func TestKeyboard(t *testing.T) {
	f := newFake("site-b", "site-c", "site-d")
	f.why = answerOf
	url, _ := serve(t, New(f, nil))
	b := browser.Open(t)
	b.Do(chromedp.Navigate(url + "/"))
	b.UntilSays("#link", "Live")
	var order []string
	for range 12 {
		b.Do(chromedp.KeyEvent(kb.Tab))
		order = append(order, browser.Eval[string](b, "(document.activeElement.labels?.[0] ?? document.activeElement).textContent"))
		if !browser.Eval[bool](b, "getComputedStyle(document.activeElement).outlineStyle === 'solid'") {
			t.Errorf("one does not see that the focus is at %s", order[len(order)-1])
		}
	}
	want := []string{"Skip to the peers", "Peers", "Why", "History", "Filter", "site-b", "site-c", "site-d", "Prefix or address", "From", "To", "Ask"}
	if fmt.Sprint(order) != fmt.Sprint(want) {
		t.Errorf("Tab goes through %q", order)
	}
	b.Do(chromedp.Focus(chromedp.CSS("#peer-table tbody:nth-of-type(2) button")), chromedp.KeyEvent(" "))
	b.Until("document.activeElement.getAttribute('aria-expanded') === 'true'")
	b.UntilSays("#peer-table tbody:nth-of-type(2) .details", "Congestion")
	f.down("site-c", "no answer for 10s") // its rows move to the top
	b.UntilSays("#peer-table tbody:first-of-type", "site-c")
	b.Until("document.activeElement.textContent === 'site-c'")
	b.Do(chromedp.KeyEvent(kb.Enter))
	b.Until("document.activeElement.getAttribute('aria-expanded') === 'false' && !document.querySelector('.details')")
}

// On a telephone nothing is wider than the screen, and what can be touched is large enough.
func TestPhone(t *testing.T) {
	f := newFake("site-b", "site-with-a-long-name", "site-d")
	f.why = answerOf
	p := New(f, nil)
	f.fill(p, 20*time.Millisecond)
	f.down("site-d", "no answer for 10s")
	url, _ := serve(t, p)
	b := browser.Open(t)
	b.Do(chromedp.EmulateViewport(360, 740), chromedp.Navigate(url+"/"))
	b.UntilSays("#link", "Live")
	b.Do(chromedp.Click(chromedp.CSS("#peer-table tbody:first-of-type button")))
	b.UntilSays("figcaption", "highest")
	b.Do(chromedp.SendKeys(chromedp.CSS("#why-prefix"), "10.2.0.0/24"+kb.Enter))
	b.UntilSays("#why-answer", "Kernel")
	if wide := browser.Eval[string](b, "[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.unseen')).map((e) => e.tagName + '.' + e.className).join()"); wide != "" {
		t.Errorf("wider than the screen: %s", wide)
	}
	if small := browser.Eval[string](b, "[...document.querySelectorAll('button, input, select')].filter((e) => e.getBoundingClientRect().height < 24).map((e) => e.outerHTML).join()"); small != "" {
		t.Errorf("too small to touch: %s", small)
	}
	b.Shoot("phone")
}

// What a screen reader is told of the page: landmarks, headings, the table with its headers, and a name for all
// that can be operated.
func TestAccessibilityTree(t *testing.T) {
	f := newFake("site-b", "site-c", "site-d")
	f.down("site-c", "no answer for 10s")
	url, _ := serve(t, New(f, nil))
	b := browser.Open(t)
	for _, width := range []int64{1280, 360} { // a table stays one where it is not drawn as one
		b.Do(chromedp.EmulateViewport(width, 800), chromedp.Navigate(url+"/"))
		b.UntilSays("#count", "1 of 3 down")
		tree := b.Accessible()
		for _, want := range []string{
			"banner", "navigation Parts of this page", "main", "contentinfo", "search",
			"heading site-a", "heading Peers", "heading Why", "heading History",
			"region Peers", "region Why", "region History", "status",
			"table Peers and their tunnels, those that are down first. A peer’s button opens its details.",
			"columnheader Peer", "columnheader Tunnel", "columnheader Round trip", "rowheader site-b", "button site-b", "cell down no answer for 10s",
			"table What has happened, the latest first", "columnheader Event", "cell tunnel down",
			"searchbox Filter", "textbox Prefix or address", "combobox From", "combobox To", "button Ask", "link History",
		} {
			if !slices.Contains(tree, want) {
				t.Errorf("%d wide: there is no %q", width, want)
			}
		}
		for _, node := range tree {
			switch node {
			case "button", "link", "textbox", "searchbox", "combobox", "table", "region", "heading", "image", "figure", "SvgRoot":
				t.Errorf("%d wide: a %s has no name", width, node)
			}
		}
	}
	if n := browser.Eval[int](b, "document.querySelectorAll('[aria-live], [role=status], [role=alert], [role=log]').length"); n != 3 {
		t.Errorf("%d regions speak by themselves", n)
	}
}

// measure is the contrast of each text with what is behind it, WCAG 2.2, 1.4.3: those below 4.5.
const measure = `(() => {
	const channel = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4 }
	const light = (c) => { const [r, g, b] = c.match(/[\d.]+/g).map(Number); return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b) }
	const ground = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (c !== 'rgba(0, 0, 0, 0)') return c } return 'rgb(255, 255, 255)' }
	const low = []
	let seen = 0
	for (const e of document.querySelectorAll('body *')) {
		if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue
		const style = getComputedStyle(e)
		const colour = e instanceof SVGElement ? style.fill : style.color
		const [a, b] = [light(colour), light(ground(e))].sort((x, y) => y - x)
		seen++
		if ((a + 0.05) / (b + 0.05) < 4.5) low.push(e.tagName + ' ' + e.textContent.slice(0, 30) + ' ' + colour)
	}
	return JSON.stringify({seen, low})
})()`

func TestContrast(t *testing.T) {
	f := newFake("site-b", "site-c")
	f.why = answerOf
	f.status.Router.Hints = []status.Hint{{Text: "the old secret is still used", Peer: "site-b"}}
	p := New(f, nil)
	f.fill(p, 20*time.Millisecond)
	f.down("site-c", "no answer for 10s")
	url, _ := serve(t, p)
	b := browser.Open(t)
	b.Do(chromedp.Navigate(url + "/"))
	b.UntilSays("figcaption", "highest")
	b.Do(chromedp.SendKeys(chromedp.CSS("#why-prefix"), "10.2.0.0/24"+kb.Enter))
	b.UntilSays("#why-answer", "Kernel")
	ground := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		b.Scheme(scheme)
		ground[scheme] = browser.Eval[string](b, "getComputedStyle(document.body).backgroundColor")
		var got struct {
			Seen int
			Low  []string
		}
		if err := json.Unmarshal([]byte(browser.Eval[string](b, measure)), &got); err != nil {
			t.Fatal(err)
		}
		if got.Seen < 60 || len(got.Low) > 0 {
			t.Errorf("%s: of %d texts these are too pale: %q", scheme, got.Seen, got.Low)
		}
		b.Shoot("all-" + scheme)
	}
	if ground["light"] == ground["dark"] {
		t.Errorf("dark is as light: %v", ground)
	}
}
