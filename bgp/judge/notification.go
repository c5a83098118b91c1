package judge

import "fmt"

// Notification is the NOTIFICATION message (RFC 4271 section 4.5) that ends a
// session.
type Notification struct {
	Code, Subcode uint8
	Data          []byte
	Text          string // what was wrong, for an operator
}

func (n *Notification) Error() string {
	return fmt.Sprintf("%s (NOTIFICATION %d/%d)", n.Text, n.Code, n.Subcode)
}

// Bytes returns the whole message, header included.
func (n *Notification) Bytes() []byte {
	data := n.Data[:min(len(n.Data), maxMessage-headerLen-2)]
	b := appendHeader(nil, typeNotification, 2+len(data))
	b = append(b, n.Code, n.Subcode)
	return append(b, data...)
}
