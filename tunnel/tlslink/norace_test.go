//go:build !race

package tlslink

// idleCost bounds the heap and stacks of one end of an idle tunnel, in bytes.
const idleCost = 100 << 10
