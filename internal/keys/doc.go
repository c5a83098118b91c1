// Package keys makes a router's key files and the secrets that two routers
// share.
//
//  1. [Router] makes a self-signed TLS certificate with its key, and a
//     WireGuard key, in one directory.
//  2. [Secret] makes a shared secret: 32 random bytes, base64, one line. [Replace] puts another in its place.
//  3. [Fingerprint] prints a certificate's SHA-256 as openssl does, for the
//     peer's config.
//  4. [FarEnd] makes a wg-quick configuration, with a new key in it, for a far
//     end that runs WireGuard and not Warren.
//
// Files are made with mode 0600 (the certificate, which is public, 0644) and
// are never overwritten, but for secrets by Replace: what exists is kept and reported as such, because a
// new key under an old name would lock the router out of all its peers.
package keys
