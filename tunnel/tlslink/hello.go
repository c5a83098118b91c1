package tlslink

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"warren/tunnel"
	"warren/tunnel/tun"
)

const (
	helloVersion = 1
	helloLen     = 1 + 2 + 32 + 16 + 8 + 16 + 1 + 1 + 1 + 4 + 4 + 4 + 4 // at least
	maxHello     = 1024
)

// hello is what the ends tell each other first. The dialing end speaks first; the
// other answers with its own, or with a reject. A hello may be longer than this
// version knows: what follows is for later ones and ignored.
type hello struct {
	link       uint16
	identity   tunnel.Identity
	instance   [16]byte // random; another one means that the router was restarted
	generation uint64   // hellos and sessions of this link that the instance has given up
	session    [16]byte // chosen by the dialing end, the same for all lanes
	lane       uint8    // 0 begins a session, others join it
	lanes      uint8    // how many this end can have
	offload    tun.Offload
	mtu        uint32 // bytes
	maxFrame   uint32 // largest data payload this end takes, at least tun.MaxFrame
	keepalive  time.Duration
	deadAfter  time.Duration
	flags      byte         // what else this end can do; missing in the hello of the first versions
	assigned   []netip.Addr // that the other end is to have; follow with flagAssigns
}

// What a hello says beyond what the first versions did.
const (
	flagWidens    byte = 1   // this end understands frameWiden
	flagRenews    byte = 2   // this end can replace lanes: it understands frameDone, frameRenew and flagReplaces
	flagHolds     byte = 8   // this end understands frameRestart: it keeps the tunnel up for a while
	flagLearns    byte = 64  // this end understands frameSecret
	flagReplaces  byte = 4   // this connection is to take over from the lane that has its number now, be it lane 0
	flagAssigns   byte = 16  // addresses follow that the other end is to have, see tunnel.AppendAssigned
	flagBeside    byte = 32  // this end carries the tunnel by another transport too: it understands frameHeard
	flagTakesLost byte = 128 // this end understands frameLost; the last flag: more need a byte of their own, behind all else
)

func (h *hello) marshal() []byte {
	b := make([]byte, 0, helloLen)
	b = append(b, helloVersion)
	b = binary.BigEndian.AppendUint16(b, h.link)
	b = append(b, h.identity[:]...)
	b = append(b, h.instance[:]...)
	b = binary.BigEndian.AppendUint64(b, h.generation)
	b = append(b, h.session[:]...)
	b = append(b, h.lane, h.lanes, byte(h.offload))
	b = binary.BigEndian.AppendUint32(b, h.mtu)
	b = binary.BigEndian.AppendUint32(b, h.maxFrame)
	b = binary.BigEndian.AppendUint32(b, uint32(h.keepalive.Milliseconds()))
	b = binary.BigEndian.AppendUint32(b, uint32(h.deadAfter.Milliseconds()))
	if len(h.assigned) == 0 {
		return append(b, h.flags&^flagAssigns)
	}
	return tunnel.AppendAssigned(append(b, h.flags|flagAssigns), h.assigned)
}

func parseHello(b []byte) (hello, error) {
	if len(b) < 1 || b[0] != helloVersion {
		return hello{}, protocolError(fmt.Sprintf("hello of a version other than %d: the peer runs another version of warren", helloVersion))
	}
	if len(b) < helloLen || len(b) > maxHello {
		return hello{}, protocolError(fmt.Sprintf("hello of %d bytes", len(b)))
	}
	r := bytes.NewBuffer(b[1:])
	h := hello{link: binary.BigEndian.Uint16(r.Next(2))}
	copy(h.identity[:], r.Next(32))
	copy(h.instance[:], r.Next(16))
	h.generation = binary.BigEndian.Uint64(r.Next(8))
	copy(h.session[:], r.Next(16))
	small := r.Next(3)
	h.lane, h.lanes, h.offload = small[0], small[1], tun.Offload(small[2])
	h.mtu = binary.BigEndian.Uint32(r.Next(4))
	h.maxFrame = binary.BigEndian.Uint32(r.Next(4))
	h.keepalive = time.Duration(binary.BigEndian.Uint32(r.Next(4))) * time.Millisecond
	h.deadAfter = time.Duration(binary.BigEndian.Uint32(r.Next(4))) * time.Millisecond
	if r.Len() > 0 {
		h.flags = r.Next(1)[0]
	}
	if h.flags&flagAssigns != 0 {
		var err error
		if h.assigned, err = tunnel.ParseAssigned(r.Bytes()); err != nil {
			return hello{}, protocolError("hello with " + err.Error())
		}
	}
	if h.lanes < 1 || h.lanes > 64 || h.lane >= h.lanes {
		return hello{}, protocolError(fmt.Sprintf("hello for lane %d of %d", h.lane, h.lanes))
	}
	if h.maxFrame < tun.MaxFrame { // this version sends frames of any size
		return hello{}, protocolError(fmt.Sprintf("hello with frames of at most %d bytes", h.maxFrame))
	}
	return h, nil
}
