package config

import (
	"net/netip"
	"path/filepath"
	"strings"
)

func (l *loader) api(raw *rawAPI) API {
	a := API{Gobgp: defaultGobgp, Socket: l.socket(raw.Socket)}
	if raw.Gobgp.state == given {
		a.Gobgp = l.gobgp(raw.Gobgp)
	}
	if raw.HTTP.state == given {
		a.HTTP = l.http(raw.HTTP)
	}
	if path, isUnix := a.GobgpSocket(); isUnix && path == a.Socket {
		l.fail(raw.Gobgp.place, "%q is api.socket too; it must be another path", raw.Gobgp.v)
	}
	if path, isUnix := strings.CutPrefix(a.HTTP, unixScheme); isUnix && path == a.Socket {
		l.fail(raw.HTTP.place, "%q is api.socket too; it must be another path", raw.HTTP.v)
	}
	if a.HTTP != "" && (a.HTTP == a.Gobgp || listenAlike(a.HTTP, a.Gobgp)) {
		l.fail(raw.HTTP.place, "%q is where the gobgp command may look (api.gobgp); it must be another one", raw.HTTP.v)
	}
	return a
}

// checkHTTP makes sure that peers don't connect over TLS where HTTP is answered.
func (l *loader) checkHTTP(raw *rawRouter, cfg *Config) {
	for _, t := range cfg.TLS.Listen {
		if listenAlike(cfg.API.HTTP, t.String()) {
			l.fail(raw.API.HTTP.place, "%q is taken by tls.listen, %v; it must be another port", cfg.API.HTTP, t)
			return
		}
	}
}

// listenAlike reports whether two IP:port can't both be listened at.
func listenAlike(a, b string) bool {
	x, errX := netip.ParseAddrPort(a)
	y, errY := netip.ParseAddrPort(b)
	if errX != nil || errY != nil || x.Port() != y.Port() {
		return false
	}
	// The kernel takes what comes over IPv4 at [::] too.
	covers := func(x, y netip.Addr) bool { return x.IsUnspecified() && (x.Is6() || y.Is4()) }
	return x.Addr() == y.Addr() || covers(x.Addr(), y.Addr()) || covers(y.Addr(), x.Addr())
}

// gobgp reads where the gobgp command may look: "" for nowhere, a loopback address with a
// port, or unix: with a path, which may also be written as the command takes it, unix:///….
func (l *loader) gobgp(v value[string]) string {
	const allowed = `allowed is a loopback address with a port, such as ` + defaultGobgp + `, a unix socket with an absolute path, such as unix:/run/warren/gobgp.sock, or "" for none`
	if text, isUnix := l.unix(v, allowed); isUnix || v.v == "" {
		return text
	}
	ap, err := netip.ParseAddrPort(v.v)
	if err != nil || ap.Port() == 0 || !ap.Addr().IsLoopback() {
		l.fail(v.place, "%q cannot be used, as the port has no password; %s", v.v, allowed)
	}
	return v.v
}

// http reads where HTTP is answered: as gobgp, but also at addresses that others can reach, as
// metrics are fetched from elsewhere. [Config.Warnings] tells of that.
func (l *loader) http(v value[string]) string {
	const allowed = `allowed is an address with a port, such as ` + usualHTTP + `, a unix socket with an absolute path, such as unix:/run/warren/http.sock, or "" for none`
	if text, isUnix := l.unix(v, allowed); isUnix || v.v == "" {
		return text
	}
	ap, err := netip.ParseAddrPort(v.v)
	switch host, port, _ := strings.Cut(v.v, ":"); {
	case err != nil && strings.EqualFold(host, "localhost"):
		l.fail(v.place, "%q has a name, which may mean several addresses: write 127.0.0.1:%s; %s", v.v, port, allowed)
	case err != nil && host == "":
		l.fail(v.place, "%q has no address; %s", v.v, allowed)
	case err != nil || ap.Port() == 0 || ap.Addr().IsMulticast() || ap.Addr().Is4In6():
		l.fail(v.place, "%q cannot be used; %s", v.v, allowed)
	}
	return v.v
}

// unix reads a unix socket, if v is one, and returns it as it is in an API.
func (l *loader) unix(v value[string], allowed string) (text string, isUnix bool) {
	path, isUnix := strings.CutPrefix(v.v, unixScheme)
	if !isUnix {
		return "", false
	}
	if strings.HasPrefix(path, "///") {
		path = path[2:]
	}
	if !isSocketPath(path) {
		l.fail(v.place, "%q cannot be a socket: the path must be absolute, of at most %d bytes; %s", v.v, maxSocketPath, allowed)
	}
	return unixScheme + filepath.Clean(path), true
}

// warnHTTP is about an address that others than this host's users can reach.
func (l *loader) warnHTTP(c *Config) {
	ap, err := netip.ParseAddrPort(c.API.HTTP)
	if err != nil || ap.Addr().IsLoopback() {
		return
	}
	l.fail(c.raw.API.HTTP.place, "%v is not a loopback address, and what is answered there has no password and is not encrypted: "+
		"whoever reaches it reads the names and addresses of all peers; use %s or a unix socket, or have the firewall let in who may",
		ap, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ap.Port()))
}

const (
	unixScheme = "unix:"
	// sun_path of unix(7) has 108 bytes, the last of them zero.
	maxSocketPath = 107
)

func isSocketPath(path string) bool {
	return filepath.IsAbs(path) && !strings.HasPrefix(path, "//") && filepath.Clean(path) != "/" &&
		len(filepath.Clean(path)) <= maxSocketPath && !strings.HasSuffix(path, "/")
}
