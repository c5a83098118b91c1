package conversion

import "strings"

// What OpenVPN's directives are here. "" is that nothing is lost, be it that it has a counterpart or that
// it means nothing here.
var ovpnReasons = map[string]string{}

func init() {
	for words, why := range map[string]string{
		// What has a counterpart, which is set elsewhere.
		"client remote port lport rport proto dev ca cert key keepalive ping ping-restart ping-exit tun-mtu ifconfig ifconfig-push ifconfig-ipv6 " +
			"ifconfig-ipv6-push iroute iroute-ipv6 route route-ipv6 local remote-random connect-timeout server-poll-timeout verify-x509-name " +
			"server server-ipv6 mode client-config-dir ccd-exclusive secret crl-verify push dev-type": "",
		// What is so here without a directive.
		"nobind float persist-key persist-tun persist-local-ip persist-remote-ip resolv-retry connect-retry connect-retry-max pull tls-client tls-server " +
			"remote-cert-tls remote-cert-ku remote-cert-eku ns-cert-type topology multihome fast-io explicit-exit-notify client-to-client ping-timer-rem " +
			"auth-nocache nice mlock daemon writepid user group verb mute mute-replay-warnings suppress-timestamps verify-client-cert": "",
		"cipher data-ciphers data-ciphers-fallback ncp-ciphers ncp-disable auth keysize tls-cipher tls-ciphersuites tls-version-min tls-version-max ecdh-curve tls-groups dh prng engine " +
			"reneg-sec reneg-bytes reneg-pkts tran-window hand-window tls-timeout tls-cert-profile": "TLS 1.3 with its own choice of ciphers is all there is, and keys are renewed by it",
		"tls-auth tls-crypt tls-crypt-v2 key-direction":    "there is no key before the handshake; strangers are refused by certificate or secret",
		"comp-lzo compress comp-noadapt allow-compression": "nothing is compressed, which would give away what is inside (VORACLE)",
		"up down route-up route-pre-down ipchange client-connect client-disconnect learn-address tls-verify auth-user-pass-verify script-security up-delay down-pre up-restart plugin setenv setenv-safe": "no command is run; `warren history --follow --json` tells of what happens",
		"auth-user-pass auth-user-pass-optional auth-retry username-as-common-name static-challenge auth-gen-token auth-token":                                                                            "peers are known by certificates, keys or secrets, not by passwords",
		"status status-version management management-client management-hold management-query-passwords":                                                                                                   "`warren status` and `[api] http` show the state",
		"log log-append syslog errors-to-stderr machine-readable-output":                                                                                                                                  "the log goes to standard error, and by the unit to the journal",
		"sndbuf rcvbuf txqueuelen socket-flags mssfix fragment tun-mtu-extra link-mtu mtu-test mtu-disc tcp-nodelay tcp-queue-limit bcast-buffers shaper":                                                 "buffers, segment sizes and the path's MTU are found out by the tunnel itself",
		"redirect-gateway redirect-private": "a default route comes by BGP: \"default\" in import takes it",
		"route-nopull pull-filter route-noexec ifconfig-noexec route-delay route-method route-metric route-gateway allow-pull-fqdn": "routes come by BGP, and import says which are taken",
		"dhcp-option block-outside-dns register-dns":                                    "name servers are the host's",
		"server-bridge bridge ":                                                         "packets are routed, Ethernet is not carried",
		"ifconfig-pool ifconfig-pool-persist ifconfig-ipv6-pool push-reset push-remove": "a client's address is fixed: assign in its file",
		"max-clients duplicate-cn connect-freq max-routes-per-client":                   "each peer has a file, or is accepted by [accept] and its certificate; max_prefixes bounds its routes",
		"http-proxy http-proxy-option http-proxy-retry socks-proxy socks-proxy-retry":   "connections go straight to the peer",
		"pkcs12 pkcs11-id pkcs11-providers cryptoapicert askpass":                       "certificate and key are files in PEM, without a password",
		"bind-dev vrf":            "underlay names the interface that the tunnel's own packets leave by",
		"inactive":                "a tunnel stays up",
		"port-share":              "the port is Warren's alone",
		"remote-random-hostname":  "a name is looked up as it is",
		"config cd chroot setcon": "give the file itself to `warren import`",
		"ignore-unknown-option block-ipv6 opt-verify disable-occ": "it has no counterpart",
	} {
		for _, w := range strings.Fields(words) {
			ovpnReasons[w] = why
		}
	}
}

// isSecret reports whether the arguments of a directive may be one.
func isSecret(name string) bool {
	switch name {
	case "auth-token", "setenv", "setenv-safe", "static-challenge", "http-proxy", "management", "askpass":
		return true
	}
	return false
}
