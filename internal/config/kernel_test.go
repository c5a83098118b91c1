package config

import "testing"

// What a further tunnel takes from the first, and the kernel's WireGuard has not, is not in force there.
func TestKernelTunnelTakesNothingThatItHasNot(t *testing.T) {
	cfg := several(t, "[[tunnel]]\ntransport = \"wireguard\"\nremotes = [\"192.0.2.1:51820\", \"192.0.2.2:51820\"]\nsecret_file = \"b.secret\"\n"+
		"ecn = true\ndscp = \"ef\"\nreturn_to_first = true\nassign = [\"10.9.0.1/32\"]\nkeepalive = \"2s\"\ndead_after = \"6s\"\n"+
		"[[tunnel]]\ndatapath = \"kernel\"\nremotes = [\"192.0.2.1:51830\"]\nlink = 1\n")
	first, k := cfg.Peers[0].Tunnels[0], cfg.Peers[0].Tunnels[1]
	if !first.ECN || first.DSCP != 46 || !first.ReturnToFirst || len(first.Assign) != 1 {
		t.Errorf("the first: %+v", first)
	}
	if k.Datapath != DatapathKernel || k.ECN || k.DSCP != 0 || k.ReturnToFirst || len(k.Assign) > 0 {
		t.Errorf("the kernel's: %+v", k)
	}
	if k.Keepalive != first.Keepalive || k.DeadAfter != first.DeadAfter || len(k.Trust.Secrets) != 1 {
		t.Errorf("the kernel's lacks what it has: %+v", k)
	}
}
