package agent

import (
	"cmp"
	"errors"
	"log/slog"
	"slices"
	"time"
)

// conditions is what is wrong now. A condition is something that does not succeed and is tried
// again. It is logged once when it comes, however often it is tried again, and once when it is
// over; status shows it meanwhile. The machine owns it.
//
// The causes of a joined error count one by one, because their order is often that of a map;
// and one that returns after another one took its place is not news either, as two may take
// turns for days.
type conditions struct{ known map[subject]*condition }

// kind is what does not succeed, in a word that stays the same from version to version.
type kind string

const (
	kindListenTLS       kind = "listen_tls"
	kindListenWireGuard kind = "listen_wireguard"
	kindGobgpPort       kind = "gobgp_port"
	kindHTTPPort        kind = "http_port"
	kindSource          kind = "source"
	kindRoutes          kind = "routes"
	kindFlowHash        kind = "flow_hash"
	kindOpen            kind = "open_tunnel"
	kindGone            kind = "interface_gone"
	kindInterface       kind = "interface"
	kindAddresses       kind = "addresses"
	kindAddressesBack   kind = "addresses_back"
	kindNetwork         kind = "network"
	kindAssigned        kind = "assigned"
	kindHistory         kind = "history_file"
	kindInvitation      kind = "invitation"
)

// kindWords are what the log and status say of a kind.
type kindWords struct {
	what  string // what cannot be done
	comes string // the log's line when it comes; "": "cannot …; trying again"
	over  string // and when it is over; "": "it is possible again to …"
	shown string // what status says before the error; "": "cannot …: "
}

var words = map[kind]kindWords{
	kindListenTLS: {what: "listen for peers over TLS", shown: "peers cannot connect over TLS to an address of tls.listen: "},
	kindListenWireGuard: {what: "use the port for peers over WireGuard",
		shown: "peers cannot connect over WireGuard: wireguard.listen_port: "},
	kindGobgpPort: {what: "listen for the gobgp command", over: "the gobgp command can look again",
		shown: "the gobgp command cannot look at this router: "},
	kindHTTPPort: {what: "listen for HTTP", over: "HTTP is answered again", shown: "nothing is answered over HTTP: "},
	kindFlowHash: {what: "spread flows over a peer's tunnels by their ports too",
		shown: "all flows between the same two addresses take the same one of a peer's tunnels, unless the host sets this (sysctl -w, and in /etc/sysctl.d): "},
	kindSource:    {what: "set the source address of learned routes"},
	kindRoutes:    {what: "write routes"},
	kindOpen:      {what: "make the tunnel"},
	kindGone:      {what: "keep the tunnel's interface", comes: "the tunnel's interface is gone; making it again", over: "the tunnel's interface is there again"},
	kindInterface: {what: "put the tunnel's interface right"},
	kindAddresses: {what: "start BGP over the tunnel"},
	kindNetwork:   {what: "reach the peer's network"},
	kindAssigned: {what: "take the address that the peer assigns", over: "this router has the addresses that the peer assigns",
		shown: "this router lacks an address: "},
	kindHistory:       {what: "write the history"},
	kindInvitation:    {what: "replace the secret of the invitation", over: "the secret of the invitation can be replaced"},
	kindAddressesBack: {what: "give the tunnel's interface its addresses back"},
}

// subject is what a condition is about.
type subject struct {
	kind   kind
	peer   string // its name; "": the router
	ifname string // of the attachment's tunnel; "": none
	cause  string // why routes fail, each of which is a condition
}

func (s subject) of(a *attachment) bool { return s.peer == a.peer.name && s.ifname == a.cfg.Interface }

func about(k kind, a *attachment) subject {
	return subject{kind: k, peer: a.peer.name, ifname: a.cfg.Interface}
}

type condition struct {
	since  time.Time
	last   time.Time // of the tries
	due    time.Time // when it is to be tried again
	tries  int       // that failed
	err    error     // of the last
	causes map[string]bool
	rests  bool // there is nothing to try now, as the tunnel is down: not shown
}

const (
	// retryInterval is the pause before something that failed is tried again: at first, and
	// at least.
	retryInterval = time.Second
	// maxRetry is what the pause grows to.
	maxRetry = 30 * time.Second
)

// backOff is the pause after so many tries that failed.
func backOff(tries int) time.Duration {
	return min(retryInterval<<min(tries-1, 10), maxRetry)
}

func newConditions() conditions { return conditions{known: map[subject]*condition{}} }

// note takes the result of a try: what is wrong, or nil. attrs go with what is logged.
func (c conditions) note(now time.Time, of subject, err error, attrs ...any) []effect {
	if of.ifname != "" {
		attrs = slices.Concat([]any{"interface", of.ifname}, attrs)
	}
	if of.peer != "" {
		attrs = slices.Concat([]any{"peer", of.peer}, attrs)
	}
	known, w := c.known[of], words[of.kind]
	switch {
	case err == nil && known == nil:
		return nil
	case err == nil:
		delete(c.known, of)
		lasted := now.Sub(known.since).Round(time.Millisecond)
		return []effect{
			logged{slog.LevelInfo, cmp.Or(w.over, "it is possible again to "+w.what), append(attrs, "after", lasted)},
			known.event(now, of, "", true),
		}
	case known == nil:
		known = &condition{since: now, causes: map[string]bool{}}
		c.known[of] = known
	}
	known.fails(now, err)
	news := false
	for _, cause := range causesOf(err) {
		news = news || !known.causes[cause]
		known.causes[cause] = true
	}
	if !news {
		return nil
	}
	return []effect{
		logged{slog.LevelError, cmp.Or(w.comes, "cannot "+w.what+"; trying again"), append(attrs, "err", err)},
		known.event(now, of, cmp.Or(w.shown, "cannot "+w.what+": ")+err.Error(), false),
	}
}

func (c *condition) fails(now time.Time, err error) {
	if c.rests {
		c.rests, c.since, c.tries = false, now, 0
	}
	c.tries++
	c.err, c.last, c.due = err, now, now.Add(backOff(c.tries))
}

// due reports whether it is time to try. What is not wrong may be tried at any time. The loop
// looks once a retryInterval, so that half of one is not waited for.
func (c conditions) due(now time.Time, of subject) bool {
	known := c.known[of]
	return known == nil || !now.Before(known.due.Add(-retryInterval/2))
}

// again reports whether a condition is there and it is time to try again.
func (c conditions) again(now time.Time, of subject) bool {
	known := c.known[of]
	return known != nil && !known.rests && c.due(now, of)
}

// hurry has everything tried as soon as may be, because success has become likely. Not within
// retryInterval of the last try: a try may itself be what changed something.
func (c conditions) hurry(now time.Time) {
	for _, known := range c.known {
		soon := known.last.Add(retryInterval)
		if soon.Before(now) {
			soon = now
		}
		if soon.Before(known.due) {
			known.due = soon
		}
	}
}

// rest is for what need not be tried while the tunnel is down. If it fails again for the same
// cause then, that is not news.
func (c conditions) rest(of subject) {
	if known := c.known[of]; known != nil {
		known.rests = true
	}
}

// forget forgets an attachment's conditions: it is not there any more, or begins again.
func (c conditions) forget(a *attachment) {
	for of := range c.known {
		if of.of(a) {
			delete(c.known, of)
		}
	}
}

// error is what is wrong with the subject; nil: nothing.
func (c conditions) error(of subject) error {
	if known := c.known[of]; known != nil && !known.rests {
		return known.err
	}
	return nil
}

// shown is a condition as status has it.
type shown struct {
	subject
	since time.Time
	tries int
	text  string
}

// shown returns what is wrong now, by subject.
func (c conditions) shown() (all []shown) {
	for of, known := range c.known {
		if known.rests {
			continue
		}
		w := words[of.kind]
		text := cmp.Or(w.shown, "cannot "+w.what+": ") + known.err.Error()
		if of.kind == kindRoutes {
			text = "cannot " + known.err.Error()
		}
		all = append(all, shown{of, known.since, known.tries, text})
	}
	slices.SortFunc(all, func(a, b shown) int {
		return cmp.Or(cmp.Compare(a.peer, b.peer), cmp.Compare(a.ifname, b.ifname), cmp.Compare(a.kind, b.kind), cmp.Compare(a.cause, b.cause))
	})
	return all
}

// maxCauses bounds what is remembered of one error.
const maxCauses = 32

// causesOf returns the texts of the errors that were joined into err, sorted,
// each once: its own text if none were.
func causesOf(err error) (texts []string) {
	if err == nil {
		return nil
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		joined, ok := e.(interface{ Unwrap() []error })
		if !ok {
			continue
		}
		for _, one := range joined.Unwrap() {
			texts = append(texts, causesOf(one)...)
		}
		slices.Sort(texts)
		texts = slices.Compact(texts)
		return texts[:min(len(texts), maxCauses)]
	}
	return []string{err.Error()}
}
