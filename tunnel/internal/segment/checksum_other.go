//go:build !amd64

package segment

// sumBlocks leaves b to be added up one word after the other.
func sumBlocks(b []byte) (sum uint64, rest []byte) { return 0, b }
