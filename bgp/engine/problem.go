package engine

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/osrg/gobgp/v4/api"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"warren/bgp"
)

// A problem is why a session is down, in words an operator understands. A more
// telling one is not replaced by a vaguer one until the session comes up.
type problem struct {
	text   string
	weight int
}

const (
	vague   = iota + 1 // a connection ended, nobody said why
	told               // a NOTIFICATION or a timer says what happened
	precise            // and we know what has to be corrected
)

func (n *neighbor) setProblem(weight int, format string, args ...any) {
	if weight >= n.session.problem.weight {
		n.session.problem = problem{fmt.Sprintf(format, args...), weight}
	}
}

// quietAfter is how long a neighbor may try before silence is a problem.
const quietAfter = 10 * time.Second

// problemLocked is what is wrong with n, or "". ids are of all sessions.
func (s *Speaker) problemLocked(n *neighbor, ids routerIDs) string {
	if id := n.session.remoteID; n.session.shown() == stateEstablished {
		if id == s.cfg.RouterID {
			return ownIDText(id)
		}
		if o := ids.rival(n); o != nil {
			a, b := min(n.Name, o.Name), max(n.Name, o.Name)
			return fmt.Sprintf("peer %s and peer %s both use router ID %s: neither gets the other's routes; give each router its own router_id", a, b, id)
		}
		if s.withheldLocked(n) {
			return "IPv4 prefixes are not announced: the peer takes none with an IPv6 next hop (RFC 8950); allow it there (BIRD: extended next hop, FRR: capability extended-nexthop), or give this end's interface an IPv4 address"
		}
		return n.missing(time.Now())
	}
	if n.heldFor() > 0 {
		return n.hold.why // this end does not answer
	}
	if n.session.problem.text == "" && time.Since(n.session.since) > quietAfter && time.Since(n.added) > quietAfter {
		if !n.session.unanswered.IsZero() && n.LAN() {
			return fmt.Sprintf("no answer from %s on TCP port %d, not even a refusal: do firewalls at both ends let it through, and do both ends have the same password and ttl_security?", n.PeerAddr, s.port)
		}
		if !n.session.unanswered.IsZero() {
			return fmt.Sprintf("no answer from %s on TCP port %d, not even a refusal: do firewalls at both ends let it through inside the tunnel, and does the peer have that address?", n.PeerAddr, s.port)
		}
		return fmt.Sprintf("no answer from %s on TCP port %d: is BGP running at the peer, with this router as its neighbor?", n.PeerAddr, s.port)
	}
	return n.session.problem.text
}

func ownIDText(id netip.Addr) string {
	return fmt.Sprintf("the peer uses this router's own router ID %s: give each router its own router_id", id)
}

// routerIDs has the neighbors of each router ID whose sessions are established,
// the first by name of each AS. GoBGP offers a peer no route that came from the
// peer's own router ID, so that two routers with the same one don't get one
// another's. Within an AS that does no harm: they are two links to the same router,
// or would refuse each other's routes as loops (RFC 4271 9.1.2).
type routerIDs map[netip.Addr]map[uint32]*neighbor

func (s *Speaker) routerIDsLocked() routerIDs {
	ids := routerIDs{}
	for _, n := range s.neighbors {
		if n.session.state != stateEstablished {
			continue
		}
		byAS := ids[n.session.remoteID]
		if byAS == nil {
			byAS = map[uint32]*neighbor{}
			ids[n.session.remoteID] = byAS
		}
		if o := byAS[n.ASN]; o == nil || n.Name < o.Name {
			byAS[n.ASN] = n
		}
	}
	return ids
}

// rival returns the first neighbor by name that has n's router ID in another AS.
func (ids routerIDs) rival(n *neighbor) (rival *neighbor) {
	for asn, o := range ids[n.session.remoteID] {
		if asn != n.ASN && (rival == nil || o.Name < rival.Name) {
			rival = o
		}
	}
	return rival
}

// maxSaid bounds how many problems of a neighbor are remembered as logged.
const maxSaid = 32

// logProblems logs each neighbor's problem when it changes to one that was not
// logged since the last session. What ended a session is in the line about that.
func (s *Speaker) logProblems() {
	type line struct{ peer, text string }
	var lines []line
	s.mu.Lock()
	ids := s.routerIDsLocked()
	for _, n := range s.neighbors {
		text := s.problemLocked(n, ids)
		if text == n.session.logged {
			continue
		}
		n.session.logged = text
		if text != "" && n.session.isNews(text) {
			lines = append(lines, line{n.Name, text})
		}
	}
	s.mu.Unlock()
	for _, l := range lines {
		s.log.Warn("BGP session: "+l.text, slog.String("peer", l.peer))
	}
}

// isNews notes a problem as logged, and reports whether it was not.
func (ss *session) isNews(text string) bool {
	if ss.said[text] {
		return false
	}
	if ss.said == nil || len(ss.said) >= maxSaid {
		ss.said = make(map[string]bool)
	}
	ss.said[text] = true
	return true
}

// establishedLocked returns what logs that n's session is established.
func (s *Speaker) establishedLocked(n *neighbor) func() {
	id := n.session.remoteID
	event := bgp.Event{Kind: bgp.SessionUp, Time: n.session.since, Neighbor: n.Name}
	return func() {
		s.cfg.OnEvent(event)
		s.log.Info("BGP session established", slog.String("peer", n.Name), slog.Any("address", n.PeerAddr),
			slog.Uint64("asn", uint64(n.ASN)), slog.Any("router_id", id))
	}
}

// closedHere is why a session ended that Want has ended.
const closedHere = "this router closed it: the tunnel is down, or the peer was changed or removed"

// endedLocked returns what logs that n's session is over, and why.
func (s *Speaker) endedLocked(n *neighbor, lasted time.Duration) func() {
	cause := n.session.problem.text
	if cause == "" {
		cause = "no reason was given"
	}
	n.session.logged = cause
	n.session.isNews(cause) // once here is enough, until the next session
	return func() { s.logEnded(slog.LevelWarn, n, cause, lasted) }
}

func (s *Speaker) logEnded(level slog.Level, n *neighbor, cause string, lasted time.Duration) {
	s.log.Log(context.Background(), level, "BGP session ended", slog.String("peer", n.Name),
		slog.String("cause", cause), slog.Duration("lasted", lasted.Round(time.Millisecond)))
	s.cfg.OnEvent(bgp.Event{Kind: bgp.SessionDown, Time: time.Now(), Neighbor: n.Name, Cause: cause, Lasted: lasted})
}

// notificationCodes finds the codes in GoBGP's words for a NOTIFICATION, as in
// "notification-received code 6(cease) subcode 2(administrative shutdown)".
var notificationCodes = regexp.MustCompile(`code (\d+)\(.*subcode (\d+)`)

// explainDown takes GoBGP's reason for a change away from Established or on
// the way there.
func (n *neighbor) explainDown(reason api.PeerState_DisconnectReason, message string) {
	switch reason {
	case api.PeerState_DISCONNECT_REASON_HOLD_TIMER_EXPIRED:
		n.setProblem(told, "nothing was heard from the peer for %d s (hold timer expired)", holdTime)
	case api.PeerState_DISCONNECT_REASON_READ_FAILED, api.PeerState_DISCONNECT_REASON_WRITE_FAILED:
		n.setProblem(vague, "the peer closed the connection without saying why")
	case api.PeerState_DISCONNECT_REASON_BAD_PEER_AS:
		n.explainNotification(true, gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR, gobgp.BGP_ERROR_SUB_BAD_PEER_AS, n.session.seen)
	case api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT, api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED:
		if m := notificationCodes.FindStringSubmatch(message); m != nil {
			code, _ := strconv.ParseUint(m[1], 10, 8)
			subcode, _ := strconv.ParseUint(m[2], 10, 8)
			sent := reason == api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT
			n.explainNotification(sent, uint8(code), uint8(subcode), n.session.seen)
			return
		}
		n.setProblem(vague, "session closed: %s", message)
	}
}

// onNotification takes a NOTIFICATION that GoBGP logged.
func (s *Speaker) onNotification(addr netip.Addr, sent bool, code, subcode int) {
	s.mu.Lock()
	n := s.byAddr[addr.Unmap().WithZone("")]
	if n != nil && (sent || !n.wasCut()) {
		n.explainNotification(sent, uint8(code), uint8(subcode), n.session.seen)
	}
	s.mu.Unlock()
	if n != nil {
		s.logProblems()
	}
}

// explainNotification takes a NOTIFICATION (RFC 4271 4.5 and 6) that this end
// sent or received. seen is the peer's OPEN, if it is known.
func (n *neighbor) explainNotification(sent bool, code, subcode uint8, seen openSeen) {
	switch code {
	case gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR:
		n.explainOpenError(sent, subcode, seen)
	case gobgp.BGP_ERROR_HOLD_TIMER_EXPIRED:
		if sent {
			n.setProblem(told, "nothing was heard from the peer for %d s (hold timer expired)", holdTime)
		} else {
			n.setProblem(told, "the peer heard nothing from this router and closed the session (hold timer expired)")
		}
	case gobgp.BGP_ERROR_CEASE:
		if !sent {
			n.setProblem(told, "the peer ended the session: %s", ceaseText(subcode))
		}
	case gobgp.BGP_ERROR_FSM_ERROR:
		// This is also how GoBGP answers a NOTIFICATION in place of an OPEN.
		n.setProblem(vague, "the peer refuses the session; look for the reason in its status or log")
	default:
		who := "the peer received a malformed message from this router"
		if sent {
			who = "the peer sent a malformed message"
		}
		n.setProblem(told, "%s (%s)", who, gobgp.NewNotificationErrorCode(code, subcode))
	}
}

// explainCease adds what people at the far end say of a Cease, of which b is the body. It is of use more than
// what GoBGP says of the same.
func (n *neighbor) explainCease(b []byte) {
	shuts := b[1] == gobgp.BGP_ERROR_SUB_ADMINISTRATIVE_SHUTDOWN || b[1] == gobgp.BGP_ERROR_SUB_ADMINISTRATIVE_RESET
	if b[0] != gobgp.BGP_ERROR_CEASE || !shuts {
		return
	}
	if says := communication(b[2:]); says != "" {
		n.setProblem(precise, "the peer ended the session: %s: %s", ceaseText(b[1]), says)
	}
}

// communication is the text of RFC 9003 section 2, without what does not belong on a terminal; "": there is
// none, or it is not well-formed.
func communication(data []byte) string {
	if len(data) == 0 || int(data[0]) != len(data)-1 || !utf8.Valid(data[1:]) {
		return ""
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, string(data[1:])))
}

// explainOpenError is about OPENs that do not suit one end (RFC 4271 6.2).
func (n *neighbor) explainOpenError(sent bool, subcode uint8, seen openSeen) {
	switch {
	case subcode == gobgp.BGP_ERROR_SUB_BAD_PEER_AS && sent && seen.asn != 0:
		n.setProblem(precise, "the peer is in AS %d, this router's config expects %d: correct [bgp] asn in one of the two", seen.asn, n.ASN)
	case subcode == gobgp.BGP_ERROR_SUB_BAD_PEER_AS && sent:
		n.setProblem(told, "the peer is not in AS %d, which this router's config expects: correct [bgp] asn in one of the two", n.ASN)
	case subcode == gobgp.BGP_ERROR_SUB_BAD_PEER_AS:
		n.setProblem(precise, "the peer's config expects another AS than this router's: correct asn here or [bgp] asn there")
	case subcode == gobgp.BGP_ERROR_SUB_BAD_BGP_IDENTIFIER && sent && seen.id.IsValid() && !seen.id.IsUnspecified():
		n.setProblem(precise, "%s", ownIDText(seen.id))
	case subcode == gobgp.BGP_ERROR_SUB_BAD_BGP_IDENTIFIER:
		n.setProblem(precise, "the router ID is the same at both ends, or 0.0.0.0 at one: give each router its own router_id")
	case sent:
		n.setProblem(told, "the peer's OPEN is not acceptable (%s)", gobgp.NewNotificationErrorCode(gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR, subcode))
	default:
		n.setProblem(told, "the peer does not accept this router's OPEN (%s)", gobgp.NewNotificationErrorCode(gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR, subcode))
	}
}

// ceaseText is a Cease subcode in words (RFC 4486).
func ceaseText(subcode uint8) string {
	switch subcode {
	case gobgp.BGP_ERROR_SUB_MAXIMUM_NUMBER_OF_PREFIXES_REACHED:
		return "it counted more prefixes than it allows; announce less or raise its limit"
	case gobgp.BGP_ERROR_SUB_ADMINISTRATIVE_SHUTDOWN:
		return "shut down there"
	case gobgp.BGP_ERROR_SUB_PEER_DECONFIGURED:
		return "this router is not configured there any more"
	case gobgp.BGP_ERROR_SUB_ADMINISTRATIVE_RESET:
		return "reset there"
	case gobgp.BGP_ERROR_SUB_CONNECTION_REJECTED:
		return "connection rejected"
	case gobgp.BGP_ERROR_SUB_CONNECTION_COLLISION_RESOLUTION:
		return "both ends connected at once, another connection was kept"
	default:
		return gobgp.NewNotificationErrorCode(gobgp.BGP_ERROR_CEASE, subcode).String()
	}
}
