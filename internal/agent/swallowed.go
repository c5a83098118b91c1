package agent

import (
	"fmt"
	"time"

	"warren/internal/status"
	"warren/internal/underlay"
)

// hintLasts is how long a hint about something that does not go on is of use.
const hintLasts = 24 * time.Hour

// swallowedHints says of which tunnels packets of the transports themselves came out.
func (l *loop) swallowedHints(swallowed []underlay.Swallowed, now time.Time) []status.Hint {
	var hints []status.Hint
	for _, s := range swallowed {
		if now.Sub(s.Last) > hintLasts {
			continue
		}
		hint := status.Hint{Text: swallowedText(s, now)}
		if a := l.m.behind(s.Interface); a != nil {
			hint.Peer = a.peer.name
		}
		hints = append(hints, hint)
	}
	return hints
}

func swallowedText(s underlay.Swallowed, now time.Time) string {
	text := fmt.Sprintf("%d packets of the transports themselves came out of interface %s and were dropped, the last one %s ago to %s: "+
		"an output rule of the firewall restores connection marks over SO_MARK (nft \"meta mark set ct mark\", "+
		"iptables \"CONNMARK --restore-mark\", as mwan3 or Kubernetes make them); exempt mark %#x/%#x there",
		s.Packets, s.Interface, max(now.Sub(s.Last), 0).Truncate(time.Second), s.Remote, underlay.Mark, underlay.MarkMask)
	switch {
	case s.Err != "":
		text += "; they cannot be marked again: " + s.Err
	case s.Remarked:
		text += "; until then nftables table " + underlay.MarksTable + " marks them again"
	}
	return text
}
