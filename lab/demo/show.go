package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"warren/lab/topo"
)

// step prints a line of progress.
func (d *demo) step(format string, args ...any) {
	fmt.Printf("\n[%5.2f s] %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// typed shows a command as a user types it.
func (d *demo) typed(h *topo.Host, argv ...string) {
	fmt.Printf("  %s# %s\n", h.Name, strings.Join(argv, " "))
}

// see runs a command on a host, shows it with its output, and wants each of the
// texts in that output.
func (d *demo) see(ctx context.Context, h *topo.Host, argv []string, wants ...string) error {
	d.typed(h, argv...)
	command := append([]string(nil), argv...)
	if argv[0] == "warren" || argv[0] == "gobgp" {
		command[0] = d.bin + "/" + argv[0]
	}
	out, err := h.Run(ctx, command...)
	if err != nil {
		return err
	}
	fmt.Printf("    %s\n", strings.ReplaceAll(strings.TrimSpace(out), "\n", "\n    "))
	for _, want := range wants {
		if !strings.Contains(out, want) {
			return fmt.Errorf("%s on %s does not show %q", strings.Join(argv, " "), h.Name, want)
		}
	}
	return nil
}

// show lets both routers tell what they have.
func (d *demo) show(ctx context.Context) error {
	a, b := d.sites.SiteA, d.sites.SiteB
	d.step("what warren says")
	for _, w := range []*topo.Warren{d.a, d.b} {
		if err := d.see(ctx, w.Host, []string{"warren", "status", "-c", w.ConfigFile()}, "established"); err != nil {
			return err
		}
	}
	d.step("what the stock gobgp command says")
	if err := d.see(ctx, a, []string{"gobgp", "neighbor"}, "64513", "Establ"); err != nil {
		return err
	}
	d.step("what the kernels have: the owned routes")
	for _, r := range []struct {
		host   *topo.Host
		v4, v6 string
	}{
		{a, "10.2.0.0/24 dev site-b", "2001:db8:2::/64 "},
		{b, "10.1.0.0/24 dev site-a", "2001:db8:1::/64 "},
	} {
		if err := d.see(ctx, r.host, []string{"ip", "route", "show", "proto", "bgp"}, r.v4); err != nil {
			return err
		}
		if err := d.see(ctx, r.host, []string{"ip", "-6", "route", "show", "proto", "bgp"}, r.v6); err != nil {
			return err
		}
	}
	d.step("host to host")
	for _, addr := range []string{topo.LANB4, topo.LANB6} {
		argv := []string{"ping", "-n", "-c", "3", "-i", "0.2", addr}
		if err := d.see(ctx, d.sites.LanA, argv, " 0% packet loss"); err != nil {
			return err
		}
	}
	return nil
}

// clean fails if a daemon that has stopped left a route or its interface.
func (d *demo) clean(ctx context.Context, h *topo.Host) error {
	for _, family := range []string{"-4", "-6"} {
		out, err := h.Run(ctx, "ip", family, "route", "show", "proto", "bgp")
		if err != nil {
			return err
		}
		if strings.TrimSpace(out) != "" {
			return fmt.Errorf("%s has owned routes after the stop:\n%s", h.Name, out)
		}
	}
	out, err := h.Run(ctx, "ip", "-br", "link", "show", "type", "tun")
	if err != nil {
		return err
	}
	if strings.TrimSpace(out) != "" {
		return fmt.Errorf("%s has a tunnel interface after the stop:\n%s", h.Name, out)
	}
	return nil
}

// hints tells what to try with a demo that stays up.
func (d *demo) hints() error {
	d.step("all of it happened, and stays up. Things to try:")
	pre := "ip netns exec "
	if topo.Unprivileged() {
		fmt.Printf("  first, since it all lives in a user namespace:\n"+
			"    nsenter --preserve-credentials -U -n -m -t %d\n", os.Getpid())
	}
	a, b, lan := pre+d.sites.SiteA.Netns, pre+d.sites.SiteB.Netns, pre+d.sites.LanA.Netns
	fmt.Printf(`  %[1]s %[4]s/warren status -c %[5]s
  %[1]s %[4]s/gobgp neighbor
  %[1]s %[4]s/gobgp monitor global rib
  %[1]s ip monitor route
  %[3]s ping %[7]s
  a prefix that appears at site-b:
    %[2]s ip address add 10.2.42.1/24 dev lan0
  a tunnel that loses its underlay, and gets it back:
    %[2]s ip link set dev wan0 down
    %[2]s ip link set dev wan0 up && %[2]s ip route add default via %[8]s
  a change that keeps the session: edit a file in %[6]s/peers.d, then
    %[1]s %[4]s/warren reload -c %[5]s
`, a, b, lan, d.bin, d.a.ConfigFile(), d.a.Dir, topo.LANB4, topo.GatewayB4)
	if topo.Unprivileged() {
		fmt.Println("to end it: interrupt this program")
		fmt.Printf("the status page of site-a: in another terminal `go run ./lab/demo -page`, then http://%s/\n", pageAddress)
		return nil
	}
	fmt.Println("to end it: go run ./lab/demo -down")
	address, err := background(pageSocket(d.a))
	if err != nil {
		return fmt.Errorf("show the status page: %w", err)
	}
	fmt.Printf("the status page of site-a, for a browser of this machine: http://%s/\n", address)
	return nil
}
