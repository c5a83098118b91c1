package config

// datapath reads what carries the packets of a WireGuard tunnel.
func (l *loader) datapath(raw *rawTunnel, t *Tunnel) string {
	switch v := raw.Datapath; {
	case v.state != given || v.v == datapathWarren:
		if at, given := raw.ListenPort.isGiven(); given {
			l.fail(at, "is for datapath = %q, where each tunnel has a port of its own; the others share listen_port of [wireguard] in warren.toml", DatapathKernel)
		}
	case v.v == DatapathKernel:
		t.Datapath = DatapathKernel
		t.ListenPort = uint16(l.number(raw.ListenPort, 0, 1, 65535))
	default:
		l.fail(v.place, "%q is not a data path; allowed are %q and %q", v.v, datapathWarren, DatapathKernel)
	}
	return t.Datapath
}

// refuseDatapath reports the keys that are for a WireGuard tunnel.
func (l *loader) refuseDatapath(transport string, raw *rawTunnel) {
	l.refuse(transport, &raw.Datapath, `it is the kernel's WireGuard that may take the place of ours, with "wireguard"`)
	l.refuse(transport, &raw.ListenPort, `it is for "wireguard" with datapath = "kernel"`)
}

// refuseOfKernel reports the keys that the kernel's WireGuard has nothing for. One that a further tunnel takes from the first,
// or a peer from its template, is reported only where the tunnel could not work with it, and is left out otherwise.
func (l *loader) refuseOfKernel(raw *rawTunnel, t *Tunnel) {
	refuse := func(key interface{ isGiven() (place, bool) }, why string) {
		if at, given := key.isGiven(); given {
			l.fail(at, "means nothing with datapath = %q: %s", DatapathKernel, why)
		}
	}
	impossible := func(at place, why string) { l.fail(at, "means nothing with datapath = %q: %s", DatapathKernel, why) }
	refuse(&raw.Underlay, "its packets follow the host's routes; a rule for its listen_port may send them elsewhere")
	if raw.ReturnToFirst.v {
		refuse(&raw.ReturnToFirst, "it has no second session beside the one in use, by which the first of remotes could be tried")
	}
	const says = "the kernel sends nothing of Warren's own in the tunnel, by which addresses are handed over"
	if raw.assigned() {
		impossible(raw.Address.place, says)
	}
	refuse(&raw.Assign, says)
	refuse(&raw.InvitationFile, "the two routers could not replace its secret; change the datapath when they have met")
	const marks = "the kernel passes marks of congestion on by itself, and sends with DSCP 0"
	refuse(&raw.ECN, marks)
	refuse(&raw.DSCP, marks)
	t.Underlay, t.ReturnToFirst, t.Assign, t.ECN, t.DSCP = "", false, nil, false, 0
	if raw.Probe.v == ProbeNone {
		impossible(raw.Probe.place, "by echoes in the tunnel alone it is known whether the peer lives")
	}
	const one = "the kernel's interface has one key and one peer with one; the others are tried by datapath = \"warren\" only"
	if len(t.Trust.Secrets) > 1 {
		impossible(raw.SecretFiles.place, one)
	}
	if len(t.Trust.PublicKeys) > 1 {
		impossible(raw.PublicKeys.place, one)
	}
}

// checkKernel checks the port of a tunnel that the kernel's WireGuard carries.
func (l *loader) checkKernel(cfg *Config, t peerTunnel) {
	if remotes := t.raw.Remotes; t.raw.ListenPort.state == absent && remotes.state != faulty && len(remotes.v) == 0 {
		l.fail(remotes.place, "is absent, and so is listen_port: the peer could not know where to send; set one of them")
	}
	if t.ListenPort != 0 && t.ListenPort == cfg.WireGuard.ListenPort {
		l.fail(t.raw.ListenPort.place, "%d is listen_port of [wireguard] in warren.toml already: with datapath = %q each tunnel needs a port of its own", t.ListenPort, DatapathKernel)
	}
}

// checkPorts checks that no two tunnels have the same port.
func (l *loader) checkPorts(a, b peerTunnel) {
	if a.ListenPort != 0 && a.ListenPort == b.ListenPort {
		l.fail(b.raw.ListenPort.place, "%d is the listen_port of %s already; each tunnel of the kernel's needs its own", b.ListenPort, a.as(b))
	}
}

// setKernelKey gives the tunnels that the kernel carries the router's own key where they have none: it is the
// interface's then.
func (p *Peer) setKernelKey(w WireGuard) {
	for i := range p.Tunnels {
		if t := &p.Tunnels[i]; t.Datapath == DatapathKernel && t.Trust.Method == TrustPublicKey && t.Trust.PrivateKey == nil {
			t.Trust.PrivateKey = w.PrivateKey
		}
	}
}
