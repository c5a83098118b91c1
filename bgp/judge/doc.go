// Package judge checks the BGP messages of a peer before a BGP speaker reads
// them: bytes in, bytes out.
package judge
