package judge

import "fmt"

// Error codes, RFC 4271 section 4.5 and RFC 7313 section 5.
const (
	errHeader  = 1
	errOpen    = 2
	errUpdate  = 3
	errFSM     = 5
	errCease   = 6
	errRefresh = 7
)

// Subcodes of UPDATE errors, RFC 4271 section 4.5.
const (
	subAttrList         = 1
	subUnknownWellKnown = 2
	subFlags            = 4
	subLength           = 5
	subOrigin           = 6
	subNextHop          = 8
	subOptional         = 9
	subNetwork          = 10
	subASPath           = 11
)

// Notification is the NOTIFICATION message (RFC 4271 section 4.5) that ends a
// session.
type Notification struct {
	Code, Subcode uint8
	Data          []byte
	Text          string // what was wrong, for an operator: printable ASCII
}

func (n *Notification) Error() string {
	return fmt.Sprintf("%s: NOTIFICATION %d/%d", n.Text, n.Code, n.Subcode)
}

// Bytes returns the whole message, header included. Data is cut to what fits.
func (n *Notification) Bytes() []byte {
	data := n.Data[:min(len(n.Data), maxMessage-headerLen-2)]
	b := appendHeader(nil, typeNotification, 2+len(data))
	b = append(b, n.Code, n.Subcode)
	return append(b, data...)
}
