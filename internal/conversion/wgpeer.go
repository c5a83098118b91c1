package conversion

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Why keys of wg-quick(8) have no counterpart; "" is that nothing is lost.
var wgReasons = map[string]string{
	"privatekey": "", "listenport": "", "address": "", "mtu": "", "publickey": "", "presharedkey": "", "endpoint": "", "allowedips": "", "persistentkeepalive": "",
	"table":      "the tunnel is a catch-all, and its routes are those that BGP brings",
	"saveconfig": "a file is never changed by the daemon",
	"dns":        "name servers are the host's (resolv.conf, systemd-resolved)",
	"fwmark":     "the tunnel's own packets are kept out of tunnels without a mark of yours",
	"preup":      "no command is run; routes and rules for the tunnel are not needed, others belong into the host's own configuration",
}

func init() {
	for _, k := range []string{"postup", "predown", "postdown"} {
		wgReasons[k] = wgReasons["preup"]
	}
}

// addWG makes a peer of each [Peer].
func (r *Result) addWG(w *wgFile) {
	notes, own := w.deviceNotes()
	if port, line := w.device.value("listenport"); line > 0 {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 {
			r.router("wireguard.listen_port", strconv.FormatUint(n, 10), fmt.Sprintf("%s:%d; all WireGuard tunnels of a router have one port", filepath.Base(w.Path), line))
		} else {
			notes = append(notes, w.note(line, "ListenPort = "+port, "it is not a port"))
		}
	}
	key := ""
	if private, line := w.device.value("privatekey"); isKey(private) {
		key = private + "\n"
	} else if line > 0 {
		notes = append(notes, w.note(line, "PrivateKey", "it is not a key; put this end's into the file that private_key_files names"))
	}
	keyName := r.keyFile(w.File, ".wireguard.key", key, false)
	for i := range w.peers {
		p := w.peer(i, own)
		set(&p.Tunnel, "private_key_files", list([]string{keyName}), "This end's own key.")
		p.Notes = append(p.Notes, notes...)
		r.Peers = append(r.Peers, p)
	}
}

// deviceNotes returns what is to be said of [Interface], and this end's addresses: also those of
// `ip address add` in PostUp, which people write for addresses with a peer.
func (w *wgFile) deviceNotes() (notes []Note, own ends) {
	for _, l := range w.device.lines {
		why, known := wgReasons[l.key]
		text := l.written + " = " + l.value
		switch {
		case !known:
			notes = append(notes, w.note(l.number, text, "this key is not known"))
		case strings.HasSuffix(l.key, "up") && own.take(l.value):
		case why != "":
			notes = append(notes, w.note(l.number, text, why))
		}
	}
	for _, a := range w.device.values("address") {
		if p, err := parseAddress(a); err == nil {
			own.own = append(own.own, p)
		}
	}
	return notes, own
}

// ends are addresses in a tunnel.
type ends struct {
	own  []netip.Prefix
	peer []netip.Addr
}

// take reads `ip address add A [peer B] dev %i`, and reports whether a command is that.
func (e *ends) take(command string) bool {
	words := strings.Fields(command)
	if len(words) < 4 || !strings.HasSuffix(words[0], "ip") || strings.ContainsAny(command, ";&|$`") {
		return false
	}
	rest := words[1:]
	for len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
		rest = rest[1:]
	}
	if len(rest) < 3 || !strings.HasPrefix("address", rest[0]) || !strings.HasPrefix("add", rest[1]) {
		return false
	}
	rest = rest[2:]
	if rest[0] == "dev" && len(rest) > 2 {
		rest = rest[2:]
	}
	own, err := parseAddress(rest[0])
	if err != nil {
		return false
	}
	if i := slices.Index(rest, "peer"); i > 0 && i+1 < len(rest) {
		if far, err := parseAddress(rest[i+1]); err == nil {
			e.peer = append(e.peer, far.Addr())
		}
	}
	e.own = append(e.own, own)
	return true
}

// parseAddress reads an address with or without a length.
func parseAddress(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a.WithZone(""), a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// peer makes a peer of a [Peer].
func (w *wgFile) peer(i int, own ends) *Peer {
	s := &w.peers[i]
	p := &Peer{Name: w.peerName(i), Sources: []string{w.Path}, device: nameOf(w.base()), common: len(w.peers) > 1}
	set(&p.Tunnel, "transport", quote("wireguard"))
	if key, line := s.value("publickey"); isKey(key) {
		set(&p.Tunnel, "public_key", quote(key))
	} else {
		set(&p.Tunnel, "public_key", "", fmt.Sprintf("%s:%d has no key that is one. Put the far end's here.", filepath.Base(w.Path), max(line, s.line)))
	}
	if psk, line := s.value("presharedkey"); isKey(psk) {
		p.Keys = append(p.Keys, KeyFile{ending: ".psk", Content: psk + "\n"})
		put(&p.Tunnel, Setting{Key: "preshared_key_file", ending: ".psk"})
	} else if line > 0 {
		p.Notes = append(p.Notes, w.note(line, "PresharedKey", "it is not a key"))
	}
	if at, line := s.value("endpoint"); line > 0 {
		if _, port, err := net.SplitHostPort(at); err == nil && port != "" {
			set(&p.Tunnel, "remotes", list([]string{at}))
		} else {
			p.Notes = append(p.Notes, w.note(line, "Endpoint = "+at, "it is not host:port"))
		}
	}
	if !p.common && isInterface(p.device) && p.device != p.Name {
		set(&p.Tunnel, "interface", quote(p.device))
	}
	w.setMTU(p)
	w.setKeepalive(p, s)
	w.setAddresses(p, s, own)
	for _, l := range s.lines {
		if _, known := wgReasons[l.key]; !known {
			p.Notes = append(p.Notes, w.note(l.number, l.written+" = "+l.value, "this key is not known"))
		}
	}
	return p
}

func (w *wgFile) peerName(i int) string {
	name := nameOf(w.base())
	if len(w.peers) == 1 {
		return name
	}
	if title := nameOf(w.peers[i].title); title != "" && len(title) <= 15 && !strings.Contains(w.peers[i].title, "=") {
		return title
	}
	return fmt.Sprintf("%s-%d", name, i+1)
}

func (w *wgFile) setMTU(p *Peer) {
	mtu, line := w.device.value("mtu")
	if line == 0 {
		return
	}
	if n, err := strconv.Atoi(mtu); err == nil && n >= 1280 && n <= 65475 {
		set(&p.Tunnel, "mtu", strconv.Itoa(n))
		return
	}
	p.Notes = append(p.Notes, w.note(line, "MTU = "+mtu, "allowed are 1280 to 65475; without the key it is 1420, and lowered where the path is narrower"))
}

// setKeepalive has the peer watched no more often than it was: what it sends by itself is all that is known.
func (w *wgFile) setKeepalive(p *Peer, s *wgSection) {
	v, line := s.value("persistentkeepalive")
	if line == 0 || v == "off" || v == "0" {
		return
	}
	p.Notes = append(p.Notes, w.note(line, "PersistentKeepalive = "+v, "a packet goes each keepalive, 1s by default, which keeps a NAT's way open too; set keepalive and dead_after for fewer"))
}

// setAddresses finds the addresses of both ends, and what the peer may announce.
func (w *wgFile) setAddresses(p *Peer, s *wgSection, own ends) {
	var hosts []netip.Addr
	var imports []string
	whole := false
	for _, a := range s.values("allowedips") {
		prefix, err := parseAddress(a)
		switch {
		case err != nil:
			_, line := s.value("allowedips")
			p.Notes = append(p.Notes, w.note(line, "AllowedIPs = "+a, "it is not a prefix"))
		case isWhole(prefix):
			whole = true
		case prefix.Addr().IsLinkLocalUnicast() || inAny(own.own, prefix):
			if prefix.IsSingleIP() {
				hosts = append(hosts, prefix.Addr())
			}
		default:
			imports = append(imports, prefix.Masked().String())
		}
	}
	p.addresses = append(hosts, own.peer...)
	p.subnets = own.own
	p.setEnds()
	why := []string{"What the far end may announce: its AllowedIPs."}
	if whole {
		why = append(why, "0.0.0.0/0 and ::/0 let all packets in, which a tunnel does by itself; add \"default\"",
			"to accept default routes by BGP.")
	}
	if len(imports) == 0 {
		why = append(why, "There is no network of its own among them: say here which it may announce.")
	}
	set(&p.BGP, "asn", "", "The far end's AS number: in none of the files. It has to speak BGP inside the tunnel.")
	set(&p.BGP, "import", list(imports), why...)
}

// setEnds sets address and peer_address, if this end's is in one subnet with the far end's.
func (p *Peer) setEnds() {
	var fits []string
	var far netip.Addr
	for _, a := range p.addresses {
		for _, own := range p.subnets {
			if own.Contains(a) && own.Addr() != a {
				fits = append(fits, own.String())
				if far == (netip.Addr{}) {
					far = a
				}
			}
		}
	}
	if far != (netip.Addr{}) {
		slices.Sort(fits)
		set(&p.Tunnel, "address", list(slices.Compact(fits)))
		set(&p.Tunnel, "peer_address", quote(far.String()))
		return
	}
	if len(p.subnets) == 0 && len(p.addresses) == 0 {
		return
	}
	text := make([]string, len(p.subnets))
	for i, own := range p.subnets {
		text[i] = own.String()
	}
	set(&p.Tunnel, "address", "", "This end had "+strings.Join(text, ", ")+", which is in no subnet with an address of the far end's.",
		"Between two Warrens both ends derive addresses. Another far end needs an address of each end in",
		"one subnet here, such as address = [\"10.0.0.1/31\"], and the same at the far end.")
}

func inAny(subnets []netip.Prefix, p netip.Prefix) bool {
	return slices.ContainsFunc(subnets, func(s netip.Prefix) bool { return !isWhole(s) && s.Contains(p.Addr()) })
}
