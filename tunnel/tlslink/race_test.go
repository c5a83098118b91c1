//go:build race

package tlslink

// idleCost bounds the heap and stacks of one end of an idle tunnel, whose stacks
// are larger under the race detector.
const idleCost = 200 << 10

// raceDetector tells tests that what they do takes ten times as long.
const raceDetector = true
