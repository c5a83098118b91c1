//go:build !race

package tlslink

// idleCost bounds the heap and stacks of one end of an idle tunnel, in bytes.
const idleCost = 96 << 10

// raceDetector tells tests that what they do takes ten times as long.
const raceDetector = false
