#include "textflag.h"

// "expand 32-byte k", RFC 8439 section 2.3.
DATA sigma<>+0(SB)/4, $0x61707865
DATA sigma<>+4(SB)/4, $0x3320646e
DATA sigma<>+8(SB)/4, $0x79622d32
DATA sigma<>+12(SB)/4, $0x6b206574
GLOBL sigma<>(SB), RODATA|NOPTR, $16

// MIX is a quarter of four quarter rounds (RFC 8439, section 2.1), in four places at
// once: x += y; z ^= x; z <<<= n.
#define MIX(x0, x1, x2, x3, y0, y1, y2, y3, z0, z1, z2, z3, n) \
	VPADDD y0, x0, x0; \
	VPADDD y1, x1, x1; \
	VPADDD y2, x2, x2; \
	VPADDD y3, x3, x3; \
	VPXORD x0, z0, z0; \
	VPXORD x1, z1, z1; \
	VPXORD x2, z2, z2; \
	VPXORD x3, z3, z3; \
	VPROLD n, z0, z0;  \
	VPROLD n, z1, z1;  \
	VPROLD n, z2, z2;  \
	VPROLD n, z3, z3

// QUARTERS is four quarter rounds, side by side.
#define QUARTERS(a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3) \
	MIX(a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3, $16); \
	MIX(c0, c1, c2, c3, d0, d1, d2, d3, b0, b1, b2, b3, $12); \
	MIX(a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3, $8);  \
	MIX(c0, c1, c2, c3, d0, d1, d2, d3, b0, b1, b2, b3, $7)

// GATHER takes four words of the state, each of 16 messages, and leaves in each
// register the four words of a message in each quarter: in the first those of messages
// 0, 4, 8 and 12, in the second of 1, 5, 9 and 13, and so on.
#define GATHER(a, b, c, d) \
	VPUNPCKLDQ  b, a, Z16;   \
	VPUNPCKHDQ  b, a, Z17;   \
	VPUNPCKLDQ  d, c, Z18;   \
	VPUNPCKHDQ  d, c, Z19;   \
	VPUNPCKLQDQ Z18, Z16, a; \
	VPUNPCKHQDQ Z18, Z16, b; \
	VPUNPCKLQDQ Z19, Z17, c; \
	VPUNPCKHQDQ Z19, Z17, d

// APPLY puts the key stream of four messages together, of which each register has a
// quarter, and changes 64 bytes of each: of the m-th, and of those 4, 8 and 12 after it.
#define APPLY(a, b, c, d, m) \
	VSHUFI32X4 $0x88, b, a, Z16;     \
	VSHUFI32X4 $0xdd, b, a, Z17;     \
	VSHUFI32X4 $0x88, d, c, Z18;     \
	VSHUFI32X4 $0xdd, d, c, Z19;     \
	VSHUFI32X4 $0x88, Z18, Z16, a;   \
	VSHUFI32X4 $0x88, Z19, Z17, b;   \
	VSHUFI32X4 $0xdd, Z18, Z16, c;   \
	VSHUFI32X4 $0xdd, Z19, Z17, d;   \
	MOVQ       (8*(m))(DI), R9;      \
	MOVQ       (8*(m)+32)(DI), R10;  \
	MOVQ       (8*(m)+64)(DI), R11;  \
	MOVQ       (8*(m)+96)(DI), R12;  \
	VPXORD     (R9)(R8*1), a, a;     \
	VPXORD     (R10)(R8*1), b, b;    \
	VPXORD     (R11)(R8*1), c, c;    \
	VPXORD     (R12)(R8*1), d, d;    \
	VMOVDQU32  a, (R9)(R8*1);        \
	VMOVDQU32  b, (R10)(R8*1);       \
	VMOVDQU32  c, (R11)(R8*1);       \
	VMOVDQU32  d, (R12)(R8*1)

// func chacha(msgs *[Lanes]*byte, blocks, first uint64, key *[8]uint32, nonces *[3][Lanes]uint32)
//
// Z0 to Z15 are the words of the state, each with a lane for each message.
TEXT ·chacha(SB), NOSPLIT, $0-40
	MOVQ msgs+0(FP), DI
	MOVQ blocks+8(FP), CX
	MOVQ first+16(FP), AX
	MOVQ key+24(FP), SI
	MOVQ nonces+32(FP), DX
	LEAQ sigma<>(SB), BX
	XORQ R8, R8

block:
	VPBROADCASTD 0(BX), Z0
	VPBROADCASTD 4(BX), Z1
	VPBROADCASTD 8(BX), Z2
	VPBROADCASTD 12(BX), Z3
	VPBROADCASTD 0(SI), Z4
	VPBROADCASTD 4(SI), Z5
	VPBROADCASTD 8(SI), Z6
	VPBROADCASTD 12(SI), Z7
	VPBROADCASTD 16(SI), Z8
	VPBROADCASTD 20(SI), Z9
	VPBROADCASTD 24(SI), Z10
	VPBROADCASTD 28(SI), Z11
	VPBROADCASTD AX, Z12
	VMOVDQU32    0(DX), Z13
	VMOVDQU32    64(DX), Z14
	VMOVDQU32    128(DX), Z15
	MOVQ         $10, R9

rounds:
	QUARTERS(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15)
	QUARTERS(Z0, Z1, Z2, Z3, Z5, Z6, Z7, Z4, Z10, Z11, Z8, Z9, Z15, Z12, Z13, Z14)
	DECQ R9
	JNZ  rounds

	VPADDD.BCST  0(BX), Z0, Z0
	VPADDD.BCST  4(BX), Z1, Z1
	VPADDD.BCST  8(BX), Z2, Z2
	VPADDD.BCST  12(BX), Z3, Z3
	VPADDD.BCST  0(SI), Z4, Z4
	VPADDD.BCST  4(SI), Z5, Z5
	VPADDD.BCST  8(SI), Z6, Z6
	VPADDD.BCST  12(SI), Z7, Z7
	VPADDD.BCST  16(SI), Z8, Z8
	VPADDD.BCST  20(SI), Z9, Z9
	VPADDD.BCST  24(SI), Z10, Z10
	VPADDD.BCST  28(SI), Z11, Z11
	VPBROADCASTD AX, Z16
	VPADDD       Z16, Z12, Z12
	VPADDD       0(DX), Z13, Z13
	VPADDD       64(DX), Z14, Z14
	VPADDD       128(DX), Z15, Z15

	GATHER(Z0, Z1, Z2, Z3)
	GATHER(Z4, Z5, Z6, Z7)
	GATHER(Z8, Z9, Z10, Z11)
	GATHER(Z12, Z13, Z14, Z15)
	APPLY(Z0, Z4, Z8, Z12, 0)
	APPLY(Z1, Z5, Z9, Z13, 1)
	APPLY(Z2, Z6, Z10, Z14, 2)
	APPLY(Z3, Z7, Z11, Z15, 3)

	ADDQ $64, R8
	INCQ AX
	DECQ CX
	JNZ  block
	VZEROUPPER
	RET
