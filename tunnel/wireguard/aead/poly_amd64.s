#include "textflag.h"

DATA limbs<>+0(SB)/8, $0xfffffffffff // 44 bits
DATA limbs<>+8(SB)/8, $0x3ffffffffff // 42 bits
DATA limbs<>+16(SB)/8, $0x10000000000 // 2^128 in the third limb
GLOBL limbs<>(SB), RODATA|NOPTR, $24

// PAIR takes the low halves of the blocks of two messages, and the high ones.
#define PAIR(a, b) \
	VPUNPCKLQDQ b, a, Z8; \
	VPUNPCKHQDQ b, a, b;  \
	VMOVDQA64   Z8, a

// SQUARE takes four registers with the halves of two messages in each quarter, which
// is a block, and leaves one with those of eight messages for each block.
#define SQUARE(a, b, c, d) \
	VSHUFI64X2 $0x88, b, a, Z8;   \
	VSHUFI64X2 $0xdd, b, a, Z9;   \
	VSHUFI64X2 $0x88, d, c, Z10;  \
	VSHUFI64X2 $0xdd, d, c, Z11;  \
	VSHUFI64X2 $0x88, Z10, Z8, a; \
	VSHUFI64X2 $0x88, Z11, Z9, b; \
	VSHUFI64X2 $0xdd, Z10, Z8, c; \
	VSHUFI64X2 $0xdd, Z11, Z9, d

// ABSORB is h = (h + block) * r mod 2^130 - 5, for a block of eight messages. Its carry
// ends in the first limb, which may then have up to 51 bits: still less than the 52 that
// are multiplied.
#define ABSORB(lo, hi) \
	VPSRLQ      $44, lo, Z8;        \
	VPSLLQ      $20, hi, Z9;        \
	VPTERNLOGQ  $0xa8, Z29, Z9, Z8; \
	VPANDQ      Z29, lo, lo;        \
	VPSRLQ      $24, hi, hi;        \
	VPORQ       Z31, hi, hi;        \
	VPADDQ      lo, Z16, Z16;       \
	VPADDQ      Z8, Z17, Z17;       \
	VPADDQ      hi, Z18, Z18;       \
	VPXORQ      Z10, Z10, Z10;      \
	VPXORQ      Z11, Z11, Z11;      \
	VPXORQ      Z12, Z12, Z12;      \
	VPXORQ      Z13, Z13, Z13;      \
	VPXORQ      Z14, Z14, Z14;      \
	VPXORQ      Z15, Z15, Z15;      \
	VPMADD52LUQ Z23, Z18, Z10;      \
	VPMADD52HUQ Z23, Z18, Z11;      \
	VPMADD52LUQ Z24, Z18, Z12;      \
	VPMADD52HUQ Z24, Z18, Z13;      \
	VPMADD52LUQ Z20, Z18, Z14;      \
	VPMADD52HUQ Z20, Z18, Z15;      \
	VPMADD52LUQ Z24, Z17, Z10;      \
	VPMADD52HUQ Z24, Z17, Z11;      \
	VPMADD52LUQ Z20, Z17, Z12;      \
	VPMADD52HUQ Z20, Z17, Z13;      \
	VPMADD52LUQ Z21, Z17, Z14;      \
	VPMADD52HUQ Z21, Z17, Z15;      \
	VPMADD52LUQ Z20, Z16, Z10;      \
	VPMADD52HUQ Z20, Z16, Z11;      \
	VPMADD52LUQ Z21, Z16, Z12;      \
	VPMADD52HUQ Z21, Z16, Z13;      \
	VPMADD52LUQ Z22, Z16, Z14;      \
	VPMADD52HUQ Z22, Z16, Z15;      \
	VPSRLQ      $44, Z10, Z8;       \
	VPSLLQ      $8, Z11, Z11;       \
	VPANDQ      Z29, Z10, Z16;      \
	VPADDQ      Z11, Z12, Z12;      \
	VPADDQ      Z8, Z12, Z12;       \
	VPSRLQ      $44, Z12, Z8;       \
	VPSLLQ      $8, Z13, Z13;       \
	VPANDQ      Z29, Z12, Z17;      \
	VPADDQ      Z13, Z14, Z14;      \
	VPADDQ      Z8, Z14, Z14;       \
	VPSRLQ      $42, Z14, Z8;       \
	VPSLLQ      $10, Z15, Z15;      \
	VPANDQ      Z30, Z14, Z18;      \
	VPADDQ      Z15, Z8, Z8;        \
	VPADDQ      Z8, Z16, Z16;       \
	VPSLLQ      $2, Z8, Z8;         \
	VPADDQ      Z8, Z16, Z16

// func poly(h *[3][half]uint64, r *[5][half]uint64, msgs *[half]*byte, blocks uint64)
//
// Z16 to Z18 are the limbs of h, Z20 to Z22 those of r, Z23 and Z24 20 times its second
// and third; each has a lane for each message.
TEXT ·poly(SB), NOSPLIT, $0-32
	MOVQ h+0(FP), DI
	MOVQ r+8(FP), SI
	MOVQ msgs+16(FP), DX
	MOVQ blocks+24(FP), CX
	LEAQ limbs<>(SB), BX

	VMOVDQU64    0(DI), Z16
	VMOVDQU64    64(DI), Z17
	VMOVDQU64    128(DI), Z18
	VMOVDQU64    0(SI), Z20
	VMOVDQU64    64(SI), Z21
	VMOVDQU64    128(SI), Z22
	VMOVDQU64    192(SI), Z23
	VMOVDQU64    256(SI), Z24
	VPBROADCASTQ 0(BX), Z29
	VPBROADCASTQ 8(BX), Z30
	VPBROADCASTQ 16(BX), Z31

	MOVQ 0(DX), R8
	MOVQ 8(DX), R9
	MOVQ 16(DX), R10
	MOVQ 24(DX), R11
	MOVQ 32(DX), R12
	MOVQ 40(DX), R13
	MOVQ 48(DX), AX
	MOVQ 56(DX), BX
	XORQ DX, DX

column:
	VMOVDQU64 (R8)(DX*1), Z0
	VMOVDQU64 (R9)(DX*1), Z1
	VMOVDQU64 (R10)(DX*1), Z2
	VMOVDQU64 (R11)(DX*1), Z3
	VMOVDQU64 (R12)(DX*1), Z4
	VMOVDQU64 (R13)(DX*1), Z5
	VMOVDQU64 (AX)(DX*1), Z6
	VMOVDQU64 (BX)(DX*1), Z7
	ADDQ      $64, DX
	PAIR(Z0, Z1)
	PAIR(Z2, Z3)
	PAIR(Z4, Z5)
	PAIR(Z6, Z7)
	SQUARE(Z0, Z2, Z4, Z6)
	SQUARE(Z1, Z3, Z5, Z7)

	ABSORB(Z0, Z1)
	DECQ CX
	JZ   done
	ABSORB(Z2, Z3)
	DECQ CX
	JZ   done
	ABSORB(Z4, Z5)
	DECQ CX
	JZ   done
	ABSORB(Z6, Z7)
	DECQ CX
	JNZ  column

done:
	VMOVDQU64 Z16, 0(DI)
	VMOVDQU64 Z17, 64(DI)
	VMOVDQU64 Z18, 128(DI)
	VZEROUPPER
	RET
