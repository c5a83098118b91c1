package status

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Order is what an operator asks for: to drain, undrain, take down, take up or reset a peer.
type Order struct {
	Do      string        // one of Orders
	Peer    string        // its name; "": the whole router, for drain and undrain
	For     time.Duration // of drain: after that it ends by itself; 0: it does not
	Message string        // of down and reset: what the peer is told (RFC 9003)
}

// Orders are those that there are.
var Orders = []string{"drain", "undrain", "down", "up", "reset"}

// OrderResult is what was done, a line for each thing.
type OrderResult struct {
	Lines []string `json:"lines"`
}

// Do has the daemon at socket do what an operator asks for, and waits until it has. The error wraps ErrNoPeer
// if there is no such peer.
func Do(ctx context.Context, socket string, o Order) (OrderResult, error) {
	var r OrderResult
	q := url.Values{"do": {o.Do}, "peer": {o.Peer}, "message": {o.Message}}
	if o.For > 0 {
		q.Set("for", o.For.String())
	}
	err := ask(ctx, socket, http.MethodPost, "/order?"+q.Encode(), &r)
	return r, err
}

// parseOrder takes an order as Do sends it.
func parseOrder(q url.Values) (o Order, err error) {
	o = Order{Do: q.Get("do"), Peer: q.Get("peer"), Message: q.Get("message")}
	if !slices.Contains(Orders, o.Do) {
		return o, fmt.Errorf("%q is not an order", o.Do)
	}
	if text := q.Get("for"); text != "" {
		if o.For, err = time.ParseDuration(text); err != nil || o.For <= 0 {
			return o, fmt.Errorf("%q is not a time that something can last", text)
		}
	}
	if o.Peer == "" && o.Do != "drain" && o.Do != "undrain" {
		return o, errors.New("no peer is named")
	}
	return o, nil
}

// order answers an order. One that has begun goes on when the one who asked has gone.
func (s *Server) order(run context.Context, w http.ResponseWriter, r *http.Request) {
	o, err := parseOrder(r.URL.Query())
	var v OrderResult
	if err == nil {
		v, err = s.config.Do(run, o, userOf(r.Context()))
	}
	if v.Lines == nil {
		v.Lines = []string{}
	}
	s.answer(w, v, err)
}
