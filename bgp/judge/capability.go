package judge

import (
	"encoding/binary"
	"fmt"
)

// eachCapability calls f with each capability of an OPEN's body. cut says that a
// capability's length goes past the end of its parameter, which ends that
// parameter. The NOTIFICATION is for optional parameters that cannot be read or
// are not known (RFC 4271 section 6.2).
func eachCapability(body []byte, f func(code uint8, value []byte, cut bool)) *Notification {
	params, lengthLen, ok := openParameters(body)
	for ok && len(params) > 0 {
		var typ uint8
		var value []byte
		typ, value, params, ok = nextParameter(params, lengthLen)
		if ok && typ != paramCapability {
			return &Notification{Code: errOpen, Subcode: 4, Text: fmt.Sprintf("the peer's OPEN has an optional parameter of type %d, which is not known here (RFC 4271 section 6.2)", typ)}
		}
		for len(value) > 0 {
			if len(value) < 2 || len(value) < 2+int(value[1]) {
				f(value[0], value[1:], true)
				break
			}
			f(value[0], value[2:2+int(value[1])], false)
			value = value[2+int(value[1]):]
		}
	}
	if !ok {
		return &Notification{Code: errOpen, Text: "the optional parameters of the peer's OPEN do not fit into it (RFC 4271 section 6.2)"}
	}
	return nil
}

// openParameters returns the optional parameters of an OPEN's body and the size
// of their length fields, 2 in the extended form (RFC 9072 section 2). What is
// behind them is ignored.
func openParameters(body []byte) (params []byte, lengthLen int, ok bool) {
	n, rest := int(body[openLen-1]), body[openLen:]
	lengthLen = 1
	if n != 0 && len(rest) > 0 && rest[0] == paramExtended {
		if len(rest) < 3 {
			return nil, 0, false
		}
		n, rest, lengthLen = int(binary.BigEndian.Uint16(rest[1:])), rest[3:], 2
	}
	if len(rest) < n {
		return nil, 0, false
	}
	return rest[:n], lengthLen, true
}

func nextParameter(params []byte, lengthLen int) (typ uint8, value, rest []byte, ok bool) {
	if len(params) < 1+lengthLen {
		return 0, nil, nil, false
	}
	n := int(params[1])
	if lengthLen == 2 {
		n = int(binary.BigEndian.Uint16(params[1:]))
	}
	rest = params[1+lengthLen:]
	if len(rest) < n {
		return 0, nil, nil, false
	}
	return params[0], rest[:n], rest[n:], true
}

// ownOpen learns from this end's OPEN what it offers, and appends it without
// the offer of extended messages: attributes that fill a longer message could
// not be passed on to a peer that takes none (RFC 8654 section 4). What it says of
// graceful restart becomes what Config says. An OPEN that cannot be read goes out
// as it is.
func (s *Session) ownOpen(dst, msg []byte) []byte {
	body := msg[headerLen:]
	if len(body) < openLen {
		return append(dst, msg...)
	}
	var n *Notification
	s.ours, n = parseOpen(body, func(uint8, int) {})
	if n != nil {
		return append(dst, msg...)
	}
	var caps []byte
	whole := true
	n = eachCapability(body, func(code uint8, value []byte, cut bool) {
		whole = whole && !cut
		if code == capGracefulRestart {
			value = s.ownGraceful(value)
		}
		if code != capExtendedMessage {
			caps = append(append(caps, code, uint8(len(value))), value...)
		}
	})
	if n != nil || !whole || len(caps) > maxParameter {
		return append(dst, msg...)
	}
	return appendOpenMessage(dst, body[:openLen-1], caps)
}

// appendOpenMessage appends an OPEN of what is before the optional parameters
// and capabilities of at most maxParameter octets.
func appendOpenMessage(dst, fixed, caps []byte) []byte {
	var params []byte
	if len(caps) > 0 {
		params = append([]byte{paramCapability, uint8(len(caps))}, caps...)
	}
	dst = appendHeader(dst, typeOpen, openLen+len(params))
	dst = append(dst, fixed...)
	dst = append(dst, uint8(len(params)))
	return append(dst, params...)
}
