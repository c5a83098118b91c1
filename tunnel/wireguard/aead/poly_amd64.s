#include "textflag.h"

DATA consts<>+0(SB)/8, $0xfffffffffff // 44 bits
DATA consts<>+8(SB)/8, $0x3ffffffffff // 42 bits
DATA consts<>+16(SB)/8, $0x10000000000 // 2^128 in the third limb
DATA consts<>+24(SB)/8, $256 // 2^52 of a limb is 2^8 of the next
DATA consts<>+32(SB)/8, $5120 // and of the third 5 * 2^10 of the first
DATA consts<>+40(SB)/8, $5 // what 2^130 is
GLOBL consts<>(SB), RODATA|NOPTR, $48

// LIMBS makes the low and the high halves of a block the first and the third limb, and
// the second of both.
#define LIMBS(lo, hi, mid) \
	VPSRLQ      $44, lo, mid;        \
	VPSLLQ      $20, hi, Z9;         \
	VPTERNLOGQ  $0xa8, Z30, Z9, mid; \
	VPANDQ      Z30, lo, lo;         \
	VPSRLQ      $24, hi, hi;         \
	VPORQ       Z19, hi, hi

// CLEAR makes the sums of MULTIPLY 0: for each limb one of the low 52 bits of products,
// and one of what is above.
#define CLEAR \
	VPXORQ Z10, Z10, Z10; \
	VPXORQ Z11, Z11, Z11; \
	VPXORQ Z12, Z12, Z12; \
	VPXORQ Z13, Z13, Z13; \
	VPXORQ Z14, Z14, Z14; \
	VPXORQ Z15, Z15, Z15

// MULTIPLY adds the products of three limbs and those of r or r^2, of which x1 and x2 are
// 20 times the second and the third. The third limb comes first: REDUCE has it first.
#define MULTIPLY(a0, a1, a2, r0, r1, r2, x1, x2) \
	VPMADD52LUQ x1, a2, Z10; \
	VPMADD52HUQ x1, a2, Z11; \
	VPMADD52LUQ x2, a2, Z12; \
	VPMADD52HUQ x2, a2, Z13; \
	VPMADD52LUQ r0, a2, Z14; \
	VPMADD52HUQ r0, a2, Z15; \
	VPMADD52LUQ r0, a0, Z10; \
	VPMADD52HUQ r0, a0, Z11; \
	VPMADD52LUQ r1, a0, Z12; \
	VPMADD52HUQ r1, a0, Z13; \
	VPMADD52LUQ r2, a0, Z14; \
	VPMADD52HUQ r2, a0, Z15; \
	VPMADD52LUQ x2, a1, Z10; \
	VPMADD52HUQ x2, a1, Z11; \
	VPMADD52LUQ r0, a1, Z12; \
	VPMADD52HUQ r0, a1, Z13; \
	VPMADD52LUQ r1, a1, Z14; \
	VPMADD52HUQ r1, a1, Z15

// REDUCE is h = the sums mod 2^130 - 5. Its carry ends in the second limb, which may then
// be a little above 44 bits. Left in the first limb it would grow with each r^2, whose
// third limb unlike that of r has all 42 bits, beyond the 52 bits that are multiplied. A
// product with a constant, which has less than 52 bits, is a shift and an addition in one.
#define REDUCE \
	VPMADD52LUQ Z5, Z11, Z12;  \
	VPMADD52LUQ Z5, Z13, Z14;  \
	VPSRLQ      $44, Z10, Z8;  \
	VPANDQ      Z30, Z10, Z16; \
	VPMADD52LUQ Z6, Z15, Z16;  \
	VPADDQ      Z8, Z12, Z12;  \
	VPSRLQ      $44, Z12, Z8;  \
	VPANDQ      Z30, Z12, Z17; \
	VPADDQ      Z8, Z14, Z14;  \
	VPSRLQ      $42, Z14, Z8;  \
	VPANDQ      Z31, Z14, Z18; \
	VPMADD52LUQ Z7, Z8, Z16;   \
	VPSRLQ      $44, Z16, Z8;  \
	VPANDQ      Z30, Z16, Z16; \
	VPADDQ      Z8, Z17, Z17

// func poly(h *[3][half]uint64, r *[5][half]uint64, msgs *[half]*byte, blocks uint64)
//
// It is h = (h + block) * r^2 + next block * r: one carry for two blocks, and half of the
// products need not wait for h.
//
// Z16 to Z18 are the limbs of h, Z20 to Z22 those of r, Z23 and Z24 20 times its second
// and third, Z25 to Z29 the same of r^2; each has a lane for each message. Z5 to Z7, Z19,
// Z30 and Z31 are the constants.
TEXT ·poly(SB), NOSPLIT, $0-32
	MOVQ h+0(FP), DI
	MOVQ r+8(FP), SI
	MOVQ msgs+16(FP), DX
	MOVQ blocks+24(FP), CX
	LEAQ consts<>(SB), BX

	VPBROADCASTQ 0(BX), Z30
	VPBROADCASTQ 8(BX), Z31
	VPBROADCASTQ 16(BX), Z19
	VPBROADCASTQ 24(BX), Z5
	VPBROADCASTQ 32(BX), Z6
	VPBROADCASTQ 40(BX), Z7
	VMOVDQU64    0(SI), Z20
	VMOVDQU64    64(SI), Z21
	VMOVDQU64    128(SI), Z22
	VMOVDQU64    192(SI), Z23
	VMOVDQU64    256(SI), Z24

	CMPQ CX, $1
	JE   ready // without r^2
	CLEAR
	MULTIPLY(Z20, Z21, Z22, Z20, Z21, Z22, Z23, Z24)
	REDUCE
	VMOVDQA64 Z16, Z25
	VMOVDQA64 Z17, Z26
	VMOVDQA64 Z18, Z27
	VPSLLQ    $2, Z26, Z8
	VPSLLQ    $4, Z26, Z28
	VPADDQ    Z8, Z28, Z28
	VPSLLQ    $2, Z27, Z8
	VPSLLQ    $4, Z27, Z29
	VPADDQ    Z8, Z29, Z29

ready:
	VMOVDQU64 0(DI), Z16
	VMOVDQU64 64(DI), Z17
	VMOVDQU64 128(DI), Z18

	MOVQ 0(DX), R8
	MOVQ 8(DX), R9
	MOVQ 16(DX), R10
	MOVQ 24(DX), R11
	MOVQ 32(DX), R12
	MOVQ 40(DX), R13
	MOVQ 48(DX), AX
	MOVQ 56(DX), BX
	XORQ DX, DX

two:
	// Two blocks of two messages in each register, then the low or the high halves of
	// those of four, then of one block of all eight.
	VMOVDQU      (R8)(DX*1), Y0
	VMOVDQU      (R9)(DX*1), Y1
	VMOVDQU      (R12)(DX*1), Y2
	VMOVDQU      (R13)(DX*1), Y3
	VINSERTI64X4 $1, (R10)(DX*1), Z0, Z0
	VINSERTI64X4 $1, (R11)(DX*1), Z1, Z1
	VINSERTI64X4 $1, (AX)(DX*1), Z2, Z2
	VINSERTI64X4 $1, (BX)(DX*1), Z3, Z3
	VPUNPCKLQDQ  Z1, Z0, Z8
	VPUNPCKHQDQ  Z1, Z0, Z9
	VPUNPCKLQDQ  Z3, Z2, Z10
	VPUNPCKHQDQ  Z3, Z2, Z11
	VSHUFI64X2   $0x88, Z10, Z8, Z0
	VSHUFI64X2   $0x88, Z11, Z9, Z1
	VSHUFI64X2   $0xdd, Z10, Z8, Z2
	VSHUFI64X2   $0xdd, Z11, Z9, Z3
	ADDQ         $32, DX

	LIMBS(Z0, Z1, Z4)
	VPADDQ Z0, Z16, Z16
	VPADDQ Z4, Z17, Z17
	VPADDQ Z1, Z18, Z18
	CLEAR
	CMPQ   CX, $1
	JE     one

	LIMBS(Z2, Z3, Z4)
	MULTIPLY(Z2, Z4, Z3, Z20, Z21, Z22, Z23, Z24)
	MULTIPLY(Z16, Z17, Z18, Z25, Z26, Z27, Z28, Z29)
	REDUCE
	SUBQ $2, CX
	JNZ  two
	JMP  done

one:
	MULTIPLY(Z16, Z17, Z18, Z20, Z21, Z22, Z23, Z24)
	REDUCE

done:
	VMOVDQU64 Z16, 0(DI)
	VMOVDQU64 Z17, 64(DI)
	VMOVDQU64 Z18, 128(DI)
	VZEROUPPER
	RET
