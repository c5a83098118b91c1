// Package link sets up tunnel interfaces and watches local prefixes.
package link
