//go:build lab

package lab

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"warren/lab/browser"
	"warren/lab/topo"
)

// pageURL is where the status page of site-a is, in that router's namespace.
const pageURL = "http://127.0.0.1:8179"

// routerFile is the warren.toml of a router on the LAN 10.net.0.0/24.
func routerFile(w *topo.Warren, asn, net int, rest string) string {
	return fmt.Sprintf("asn = %d\nrouter_id = \"10.%d.0.1\"\n[announce]\nnetworks = [\"10.%[2]d.0.0/24\"]\n%s[api]\nsocket = %q\n",
		asn, net, rest, w.Socket())
}

// peerFile is the file of the peer on the LAN 10.net.0.0/24.
func peerFile(peer *topo.Warren, asn, net int, remotes string) string {
	return fmt.Sprintf("[tunnel]\nfingerprint = %q\n%s[bgp]\nasn = %d\nimport = [\"10.%d.0.0/16 le 24\"]\n", peer.Fingerprint, remotes, asn, net)
}

// pageSites starts two routers, of which site-a has a status page.
func pageSites(t *testing.T, ctx context.Context) (*topo.TwoSites, *topo.Warren, *topo.Warren) {
	t.Helper()
	net, err := topo.New(ctx, "page")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := net.Close(); err != nil {
			t.Error(err)
		}
	})
	sites, err := topo.AddTwoSites(ctx, net)
	if err != nil {
		t.Fatal(err)
	}
	routers := map[*topo.Host]*topo.Warren{}
	for _, h := range []*topo.Host{sites.SiteA, sites.SiteB} {
		if routers[h], err = topo.NewWarren(ctx, h, filepath.Join(bin, "warren")); err != nil {
			t.Fatal(err)
		}
	}
	a, b := routers[sites.SiteA], routers[sites.SiteB]
	for _, err := range []error{
		a.Configure(routerFile(a, 64512, 1, "") + "http = \"127.0.0.1:8179\"\n"),
		a.ConfigurePeer("site-b", peerFile(b, 64513, 2, fmt.Sprintf("remotes = [\"%s:443\"]\ndead_after = \"2s\"\nkeepalive = \"500ms\"\n", topo.UnderlayB4))),
		b.Configure(routerFile(b, 64513, 2, "[tls]\nlisten = [\"0.0.0.0:443\"]\n")),
		b.ConfigurePeer("site-a", peerFile(a, 64512, 1, "")),
		b.Start(), a.Start(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.WaitEstablished(ctx, "site-b", patience); err != nil {
		t.Fatal(err)
	}
	return sites, a, b
}

// TestPage looks at the status page of a running router in a browser, while the tunnel goes and returns, and
// the daemon too.
func TestPage(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	sites, a, _ := pageSites(t, ctx)
	tab := browser.Open(t, "ip", "netns", "exec", sites.SiteA.Netns)
	tab.Do(chromedp.Navigate(pageURL + "/"))
	tab.UntilSays("#link", "Live")
	tab.UntilSays("#count", "1, which is up")
	tab.UntilSays("#peer-table tbody", topo.UnderlayB4+":443")
	tab.UntilSays("#history-table", "session up")
	tab.UntilSays("figcaption", "in the last hour") // the second sample has a throughput
	tab.Do(chromedp.SendKeys(chromedp.CSS("#why-prefix"), topo.LANB4+kb.Enter))
	tab.UntilSays("#why-answer", topo.LANB4+" is in 10.2.0.0/24")
	tab.UntilSays("#why-answer", "best")
	tab.UntilSays("#why-answer", "10.2.0.0/24 dev site-b proto bgp")
	tab.Do(chromedp.SetValue(chromedp.CSS("#why-prefix"), "10.1.0.0/24"), chromedp.Focus(chromedp.CSS("#why-prefix")), chromedp.KeyEvent(kb.Enter))
	tab.UntilSays("#why-answer", "this router announces it itself")
	tab.Shoot("lab-up")

	if err := sites.WanB.Cut(ctx); err != nil {
		t.Fatal(err)
	}
	tab.UntilSays("#count", "1 of 1 down")
	tab.UntilSays("#history-table", "tunnel down")
	tab.Shoot("lab-down")
	if err := sites.WanB.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	tab.UntilSays("#count", "1, which is up")
	tab.Quiet(pageURL)

	if err := a.Process.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	tab.UntilSays("#link", "The daemon does not answer since")
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	tab.UntilSays("#link", "Live")
	tab.UntilSays("#count", "1, which is up")
}
