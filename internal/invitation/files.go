package invitation

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"warren/internal/config"
	"warren/internal/keys"
	"warren/internal/peerfile"
)

// site is a router to which a peer is to be added.
type site struct {
	path   string         // of warren.toml, absolute
	cfg    *config.Config // nil: there is none yet
	host   config.Host
	shared bool // networks that other peers have are no mistake
}

// peer is what the peer's file is to say.
type peer struct {
	name    string
	asn     uint32
	remotes []string
	imports []string
	exports []string
	head    string // what the first line says
	secret  []byte
	until   time.Time
	role    config.Role

	transport string
	// own and far are the addresses in the tunnel, of this end and of the peer, if the two would not know otherwise which is whose.
	own, far netip.Addr
}

// checkName makes sure that no other router has the peer's name.
func (s *site) checkName(name string) error {
	switch {
	case s.cfg == nil:
	case s.cfg.Peer(name) != nil:
		return fmt.Errorf("%s is a peer already, in %s: remove it first (warren remove %s), or take another name", name, s.cfg.Peer(name).File, name)
	case s.cfg.Name == name:
		return fmt.Errorf("%s is the name of this router itself; take another one for the peer", name)
	}
	return nil
}

// plan makes the peer's files.
func (s *site) plan(p peer) (*peerfile.Plan, error) {
	dir := filepath.Dir(s.path)
	secret := p.name + ".secret"
	if _, err := os.Lstat(filepath.Join(dir, secret)); err == nil {
		return nil, fmt.Errorf("%s is there already and would be taken for the peer's secret: move it away first", filepath.Join(dir, secret))
	}
	i := config.Invitation{Role: p.role, Until: p.until}
	plan := &peerfile.Plan{Config: s.path, Create: []peerfile.File{
		{Path: filepath.Join(dir, p.name+".invitation"), Text: config.InvitationText(i, keys.Text(p.secret)), Mode: 0o600},
		{Path: filepath.Join(dir, "peers.d", p.name+".toml"), Text: s.peerText(p, secret), Mode: 0o644},
	}}
	return plan, plan.Taken()
}

// peerText is a peer's file as short as it can be, with what its keys mean.
func (s *site) peerText(p peer, secret string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n# The reference of the configuration explains these keys and all others.\n\n[tunnel]\n", p.head)
	if p.transport == config.TransportWireGuard {
		b.WriteString("# How packets get there: by the WireGuard protocol, over UDP.\ntransport       = \"wireguard\"\n")
	}
	if len(p.remotes) > 0 {
		fmt.Fprintf(&b, "# Where it is dialed, in this order.\nremotes         = %s\n", list(p.remotes))
	}
	fmt.Fprintf(&b, "# The secret of the two routers, which they make themselves when they meet for the first time.\nsecret_file     = %q\n"+
		"# What they know one another by until then. The file is gone afterwards, and this line may go too.\ninvitation_file = %q\n",
		secret, p.name+".invitation")
	if name := interfaceFor(p.name, s.hasInterface); name != "" {
		fmt.Fprintf(&b, "# The tunnel's interface, as the peer's name cannot be that here.\ninterface       = %q\n", name)
	}
	if p.own.IsValid() {
		fmt.Fprintf(&b, "# The addresses of the two ends in the tunnel, which tell the keys of one from the other's: their AS numbers are the same.\n"+
			"address         = [\"%v/64\"]\npeer_address    = \"%v\"\n", p.own, p.far)
	}
	fmt.Fprintf(&b, "\n[bgp]\nasn    = %d\n# What is learned from it; anything else is refused. With le 24 behind a prefix its parts are learned too.\nimport = %s\n",
		p.asn, list(p.imports))
	if len(p.exports) > 0 {
		fmt.Fprintf(&b, "# What it is told; without this it is what this router itself announces.\nexport = %s\n", list(p.exports))
	}
	return b.String()
}

// hasInterface reports whether an interface has a name already.
func (s *site) hasInterface(name string) bool {
	for _, i := range s.host.Interfaces {
		if i.Name == name {
			return true
		}
	}
	if s.cfg != nil {
		for _, p := range s.cfg.Peers {
			for _, t := range p.Tunnels {
				if t.Interface == name {
					return true
				}
			}
		}
	}
	return false
}

// list writes texts as an array of TOML.
func list(texts []string) string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = fmt.Sprintf("%q", t)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// checkClash makes sure that what is to be imported is neither this router's own nor, unless that is meant,
// what another peer has.
func (s *site) checkClash(filters []string, from string) error {
	var own []netip.Prefix
	if s.cfg != nil {
		own = s.cfg.Announce.Networks
	}
	for _, text := range filters {
		f, err := config.ParseFilter(text)
		if err != nil {
			continue // any and default
		}
		for _, n := range own {
			if n == f.Prefix || n.Bits() > 0 && n.Bits() < f.Prefix.Bits() && n.Contains(f.Prefix.Addr()) && !s.hasPart(n) {
				return fmt.Errorf("%v is to be learned from %s, and this router announces %v itself: two routers cannot have the same network", f.Prefix, from, n)
			}
		}
		if err := s.checkHost(f.Prefix, from); err != nil {
			return err
		}
		if s.cfg == nil || s.shared {
			continue
		}
		for _, p := range s.cfg.Peers {
			for _, have := range p.BGP.Import.Prefixes {
				if have.Prefix == f.Prefix {
					return fmt.Errorf("%v is to be learned from %s, and is learned from %s already (import in %s): correct it, or say --shared if both have it",
						f.Prefix, from, p.Name, p.File)
				}
			}
		}
	}
	return nil
}

// checkHost is about the networks that this host is in.
func (s *site) checkHost(p netip.Prefix, from string) error {
	for _, i := range s.host.Interfaces {
		if i.Tunnel || i.Loopback {
			continue
		}
		for _, a := range i.Addresses {
			if a.Masked() == p && !a.IsSingleIP() {
				return fmt.Errorf("%v is to be learned from %s, and this host's interface %s is in it: two routers cannot have the same network", p, from, i.Name)
			}
		}
	}
	return nil
}

// hasPart reports whether this host is in a part of one of its networks, which then is the aggregate of several.
func (s *site) hasPart(n netip.Prefix) bool {
	for _, i := range s.host.Interfaces {
		for _, a := range i.Addresses {
			if !i.Tunnel && a.Bits() > n.Bits() && n.Contains(a.Addr()) {
				return true
			}
		}
	}
	return false
}

// Wish is what is said of the peer that is to be invited. All but Name and Import may be left out.
type Wish struct {
	Name    string
	Import  []string // filters, at least one
	Export  []string // filters, own, any or default; none: own
	Remotes []string // host:port, where this router is reached
	// Transport is over what the two meet; "": TLS where this router listens for it, else WireGuard.
	Transport string
	ASN       uint32
	Valid     time.Duration
	Shared    bool // other peers may have the same networks
}

// Make returns the line for a new peer of a router, and what is to be done with files there. now is the time at
// which the term begins.
func Make(c *config.Config, host config.Host, w Wish, now time.Time) (*Line, *peerfile.Plan, error) {
	s := &site{path: c.Path, cfg: c, host: host, shared: w.Shared}
	l := &Line{
		Remotes: w.Remotes, Secret: keys.NewSecret(), Until: now.Add(w.Valid).UTC().Truncate(time.Second),
		Inviting: End{c.Name, c.ASN}, Invited: End{w.Name, w.ASN}, Imported: w.Import,
	}
	err := s.checkName(w.Name)
	if err == nil {
		err = s.checkClash(w.Import, w.Name)
	}
	if err != nil {
		return nil, nil, err
	}
	var listen []netip.AddrPort
	if l.Transport, listen, err = listening(c, w.Transport); err != nil {
		return nil, nil, err
	}
	if len(l.Remotes) == 0 {
		if l.Remotes, err = Addresses(listen, addresses(host), c.Announce.Networks); err != nil {
			return nil, nil, err
		}
	}
	if l.Invited.ASN == 0 {
		l.Invited.ASN = freeASN(c)
	}
	l.RouterID = proposeID(prefixes(w.Import), c.RouterID)
	l.Announced = s.announced(w.Export)
	if err := l.check(int64(l.Inviting.ASN), int64(l.Invited.ASN)); err != nil {
		return nil, nil, err
	}
	own, far := l.addresses()
	plan, err := s.plan(peer{
		transport: l.Transport, own: own, far: far,
		name: w.Name, asn: l.Invited.ASN, imports: w.Import, exports: w.Export, secret: l.Secret, until: l.Until, role: config.RoleInviting,
		head: fmt.Sprintf("%s, which this router invited on %s.", w.Name, now.UTC().Format(time.DateOnly)),
	})
	return l, plan, err
}

// addresses are those of the two ends in the tunnel that have to be written down: over WireGuard the keys of one end are told from the
// other's by their AS numbers, or by these where the numbers are the same.
func (l *Line) addresses() (inviting, joined netip.Addr) {
	if l.Transport == config.TransportWireGuard && l.Inviting.ASN == l.Invited.ASN {
		return linkLocals(l.Secret)
	}
	return netip.Addr{}, netip.Addr{}
}

// announced are filters for what a peer with this export is told.
func (s *site) announced(export []string) (out []string) {
	if len(export) == 0 {
		export = []string{"own"}
	}
	add := func(text string) {
		for _, have := range out {
			if have == text {
				return
			}
		}
		out = append(out, text)
	}
	for _, e := range export {
		if e != "own" {
			add(e)
			continue
		}
		for _, n := range s.cfg.Announce.Networks {
			add(n.String())
		}
		if s.cfg.Announce.Redistribute.Connected {
			for _, p := range s.connected() {
				add(p.String())
			}
		}
	}
	return out
}

// connected are the networks that this host is in now and redistributes.
func (s *site) connected() (all []netip.Prefix) {
	for _, i := range s.host.Interfaces {
		if i.Tunnel || i.Loopback || !config.MatchesAny(s.cfg.Announce.Interfaces, i.Name) {
			continue
		}
		for _, a := range i.Addresses {
			if p := a.Masked(); a.Addr().IsGlobalUnicast() && !p.IsSingleIP() {
				if _, err := config.ParseFilter(p.String()); err == nil {
					all = append(all, p)
				}
			}
		}
	}
	return all
}

// Answer is what may be said at the end that joins. All of it may be left out.
type Answer struct {
	Peer     string     // what the inviting router is called here
	Name     string     // of this router, if it has no warren.toml
	RouterID netip.Addr // likewise
	Shared   bool       // other peers may have the same networks
}

// Join returns what is to be done with files at a router to accept an invitation. c is its config, nil if there is none
// at path, which is absolute.
func Join(path string, c *config.Config, host config.Host, l *Line, a Answer, now time.Time) (*peerfile.Plan, error) {
	if err := l.Expired(now); err != nil {
		return nil, err
	}
	s := &site{path: path, cfg: c, host: host, shared: a.Shared}
	from := l.Inviting.Name
	if a.Peer != "" {
		from = a.Peer
	}
	if err := config.ParseName(from); err != nil {
		return nil, fmt.Errorf("%q %w", from, err)
	}
	if c != nil && c.ASN != l.Invited.ASN {
		return nil, fmt.Errorf("this router has AS number %d, and %s expects %d: have it invited with --asn %d", c.ASN, l.Inviting.Name, l.Invited.ASN, c.ASN)
	}
	if c != nil && c.Name == l.Inviting.Name && c.RouterID == l.RouterID {
		return nil, errors.New("this invitation is this router's own: join with it at the other one")
	}
	if err := s.checkName(from); err != nil {
		return nil, err
	}
	if err := s.checkClash(l.Announced, from); err != nil {
		return nil, err
	}
	far, own := l.addresses()
	plan, err := s.plan(peer{
		transport: l.Transport, own: own, far: far,
		name: from, asn: l.Inviting.ASN, remotes: l.Remotes, imports: l.Announced, secret: l.Secret, until: l.Until, role: config.RoleJoined,
		head: fmt.Sprintf("%s, which invited this router; joined on %s.", l.Inviting.Name, now.UTC().Format(time.DateOnly)),
	})
	if err != nil || c != nil {
		return plan, err
	}
	router, err := routerText(l, a, from, now)
	if err != nil {
		return nil, err
	}
	plan.Create = append(plan.Create, peerfile.File{Path: path, Text: router, Mode: 0o644})
	return plan, plan.Taken()
}

// routerText is a warren.toml as short as it can be.
func routerText(l *Line, a Answer, from string, now time.Time) (string, error) {
	name, id := l.Invited.Name, l.RouterID
	if a.Name != "" {
		name = a.Name
	}
	if a.RouterID.IsValid() {
		id = a.RouterID
	}
	if name == from {
		return "", fmt.Errorf("%s would be the name of this router and of the peer; say --name for this router", name)
	}
	var networks []string
	for _, p := range prefixes(l.Imported) {
		networks = append(networks, p.String())
	}
	return fmt.Sprintf("# This router, as %s invited it on %s.\n# The reference of the configuration explains these keys and all others.\n\n"+
		"name      = %q\nasn       = %d\n# No other router that this one is connected with may have the same.\nrouter_id = %q\n\n"+
		"[announce]\n# What the peers are told to send here.\nnetworks = %s\n",
		l.Inviting.Name, now.UTC().Format(time.DateOnly), name, l.Invited.ASN, id.String(), list(networks)), nil
}

// Unannounced returns the networks that the inviting end would learn from this router and that it does not announce.
func Unannounced(c *config.Config, l *Line) (missing []netip.Prefix) {
	for _, text := range l.Imported {
		f, err := config.ParseFilter(text)
		found := err != nil
		for _, n := range c.Announce.Networks {
			found = found || f.Prefix.Contains(n.Addr()) && n.Bits() >= f.Ge && n.Bits() <= f.Le
		}
		if !found && c.Announce.Redistribute == (config.Redistribute{}) {
			missing = append(missing, f.Prefix)
		}
	}
	return missing
}

// prefixes are those of filters.
func prefixes(filters []string) (all []netip.Prefix) {
	seen := map[netip.Prefix]bool{}
	for _, text := range filters {
		if f, err := config.ParseFilter(text); err == nil && !seen[f.Prefix] {
			seen[f.Prefix] = true
			all = append(all, f.Prefix)
		}
	}
	return all
}

func addresses(host config.Host) (all []netip.Addr) {
	for _, i := range host.Interfaces {
		if i.Tunnel || i.Loopback {
			continue
		}
		for _, a := range i.Addresses {
			all = append(all, a.Addr())
		}
	}
	return all
}
