package aead

import (
	"crypto/subtle"
	"encoding/binary"
	"sync"

	"golang.org/x/sys/cpu"
)

// able reports whether the processor has what chacha and poly need.
var able = cpu.X86.HasAVX512F && cpu.X86.HasAVX512IFMA

const (
	half = 8 // lanes of poly

	blockLen = 64 // of chacha, in bytes
	partLen  = 16 // of poly

	// All lanes take as long as fewest messages one after the other. Those without a
	// message work on a spare one, which bounds the length of a body.
	fewest  = 6
	longest = 2 << 10
)

// chacha changes blocks of 64 bytes of each message with the key stream, from the block
// numbered first on. There must be at least one.
//
//go:noescape
func chacha(msgs *[Lanes]*byte, blocks, first uint64, key *[8]uint32, nonces *[3][Lanes]uint32)

// poly takes in blocks of 16 bytes of each message. There must be at least one. It reads
// up to a multiple of 32 bytes.
//
//go:noescape
func poly(h *[3][half]uint64, r *[5][half]uint64, msgs *[half]*byte, blocks uint64)

// work is what is known of messages while they are side by side.
type work struct {
	n      int          // length of each, without the tag
	starts [Lanes]*byte // where they are
	nonces [3][Lanes]uint32
	macs   [Lanes / half]macs

	ends     [Lanes][2 * blockLen]byte // the last bytes of each, and what poly has after them
	endStart [Lanes]*byte              // always the same
	spare    [longest]byte
}

// works that nobody does.
var works = sync.Pool{New: func() any {
	w := new(work)
	for i := range w.ends {
		w.endStart[i] = &w.ends[i][0]
	}
	return w
}}

// release gives the work back, without what it knows. That includes the spare message,
// in which there is key stream.
func (w *work) release() {
	clear(w.spare[:w.n])
	clear(w.starts[:])
	clear(w.macs[:])
	clear(w.ends[:])
	works.Put(w)
}

// sealLanes seals the first messages side by side. It returns how many; 0 if one by one
// is better.
func (k *Key) sealLanes(msgs []Message) int {
	msgs = alike(msgs)
	if len(msgs) == 0 {
		return 0
	}
	w := works.Get().(*work)
	defer w.release()
	w.begin(k, msgs)
	w.crypt(k, msgs)
	w.authenticate(msgs)
	for i := range msgs {
		w.macs[i/half].tag(i%half, (*[Overhead]byte)(msgs[i].Body[w.n:]))
	}
	return len(msgs)
}

// openLanes opens the first messages side by side. It returns how many; 0 if one by one
// is better.
func (k *Key) openLanes(msgs []Message) int {
	msgs = alike(msgs)
	if len(msgs) == 0 {
		return 0
	}
	w := works.Get().(*work)
	defer w.release()
	w.begin(k, msgs)
	w.authenticate(msgs)
	for i := range msgs {
		var tag [Overhead]byte
		w.macs[i/half].tag(i%half, &tag)
		msgs[i].Forged = subtle.ConstantTimeCompare(msgs[i].Body[w.n:], tag[:]) == 0
	}
	w.crypt(k, msgs)
	for i := range msgs {
		if msgs[i].Forged {
			clear(msgs[i].Body[:w.n])
		}
	}
	return len(msgs)
}

// alike returns the first messages that are worth lanes; none if there are too few of
// one length.
func alike(msgs []Message) []Message {
	if !able || len(msgs) < fewest || len(msgs[0].Body) > longest {
		return nil
	}
	n := 1
	for n < min(len(msgs), Lanes) && len(msgs[n].Body) == len(msgs[0].Body) {
		n++
	}
	if n < fewest {
		return nil
	}
	return msgs[:n]
}

// begin gives messages their lanes.
func (w *work) begin(k *Key, msgs []Message) {
	w.n = len(msgs[0].Body) - Overhead
	for i := range w.starts {
		w.starts[i] = &w.spare[0]
	}
	for i := range msgs {
		w.starts[i] = &msgs[i].Body[0]
		for j := range w.nonces {
			w.nonces[j][i] = binary.LittleEndian.Uint32(msgs[i].Nonce[4*j:])
		}
	}
	// The keys of Poly1305 are the first block of the key stream (RFC 8439, section 2.6).
	chacha(&w.endStart, 1, 0, &k.words, &w.nonces)
	for i := range msgs {
		w.macs[i/half].setKey(i%half, (*[32]byte)(w.ends[i][:]))
	}
}

// crypt encrypts or decrypts.
func (w *work) crypt(k *Key, msgs []Message) {
	whole := w.n / blockLen
	if whole > 0 {
		chacha(&w.starts, uint64(whole), 1, &k.words, &w.nonces)
	}
	at := whole * blockLen
	if at == w.n {
		return
	}
	for i := range msgs {
		copy(w.ends[i][:], msgs[i].Body[at:w.n])
	}
	chacha(&w.endStart, 1, uint64(1+whole), &k.words, &w.nonces)
	for i := range msgs {
		copy(msgs[i].Body[at:w.n], w.ends[i][:])
	}
}

// authenticate takes in the ciphertexts, padded, and their lengths (RFC 8439, section
// 2.8).
func (w *work) authenticate(msgs []Message) {
	whole := w.n / blockLen
	at := whole * blockLen
	padded := (w.n - at + partLen - 1) / partLen * partLen
	for i := range msgs {
		clear(w.ends[i][:])
		copy(w.ends[i][:], msgs[i].Body[at:w.n])
		binary.LittleEndian.PutUint64(w.ends[i][padded+8:], uint64(w.n)) // after the 0 bytes of additional data
	}
	for first := 0; first < len(msgs); first += half {
		m := &w.macs[first/half]
		if whole > 0 {
			poly(&m.h, &m.r, (*[half]*byte)(w.starts[first:]), uint64(whole*(blockLen/partLen)))
		}
		poly(&m.h, &m.r, (*[half]*byte)(w.endStart[first:]), uint64(padded/partLen+1))
	}
}
