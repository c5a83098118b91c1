package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard lets through what may be answered at all: GET and HEAD that name this listener. at is
// where it listens.
//
// A browser reads a page of attacker.example, whose name then is made to lead to 127.0.0.1 (DNS
// rebinding). From then on the page may read what is here, as to the browser it is of the same origin. But
// the Host header still is attacker.example.
func guard(at net.Addr, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if !isNamed(r.Host, at, local) {
			http.Error(w, "the Host header names another place: ask for the address that [api] http has, or for localhost", http.StatusForbidden)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "this is only to look at: GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isNamed reports whether a Host header names the listener at an address, to which a connection has come at
// local: with its port the address that is configured or that of the connection, or localhost
// with any port, as one that is forwarded to here (ssh -L) is reached by. No browser reaches a
// unix socket, so that any name is good there.
func isNamed(host string, at, local net.Addr) bool {
	if _, isTCP := at.(*net.TCPAddr); !isTCP {
		return true
	}
	name, port := host, "80"
	if h, p, err := net.SplitHostPort(host); err == nil {
		name, port = h, p
	} else {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if strings.EqualFold(strings.TrimSuffix(name, "."), "localhost") {
		return true
	}
	named, err := netip.ParseAddrPort(net.JoinHostPort(name, port))
	return err == nil && (named == endOf(at) || named == endOf(local))
}

// endOf is the address and port of a TCP socket, without a zone, which a Host header does not have.
func endOf(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
