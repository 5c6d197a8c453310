"""Classic BPF: the packet filters that libpcap compiles, run over captured bytes.

Read first: McCanne and Jacobson, "The BSD Packet Filter" (1993), 3.3; Linux, Documentation/networking/filter.rst.

The machine has an accumulator A, an index register X, 16 words of memory, all of 32 bits, and sees a packet::

    +----------------+----------------+----------------+
    |  code (16 bit) |  jt (8)  jf (8)|     k (32 bit) |      an instruction
    +----------------+----------------+----------------+

    code:  | source or return value (K 0, X 8, A 0x10) | operation, or size and mode | class (3 bits) |

Jumps go forward only, so a program ends. A load outside the captured bytes ends it too: the packet is rejected, as it
is by the kernel and by libpcap.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from uinet.errors import FilterError
from uinet.units import MASK32
from uinet.wire.kernels import load_u8, load_u16, load_u32, load_u64

MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS
MEMORY_WORDS = 16

# classes
LD = 0x00
LDX = 0x01
ST = 0x02
STX = 0x03
ALU = 0x04
JMP = 0x05
RET = 0x06
MISC = 0x07

# what is loaded, and from where
WORD = 0x00
HALF = 0x08
BYTE = 0x10
IMM = 0x00
ABS = 0x20
IND = 0x40
MEM = 0x60
LEN = 0x80
MSH = 0xA0  # four times the low half of a byte: an IPv4 header's length

# operations
ADD = 0x00
SUB = 0x10
MUL = 0x20
DIV = 0x30
OR = 0x40
AND = 0x50
LSH = 0x60
RSH = 0x70
NEG = 0x80
MOD = 0x90
XOR = 0xA0

JA = 0x00
JEQ = 0x10
JGT = 0x20
JGE = 0x30
JSET = 0x40

BY_X = 0x08  # the operand is X; otherwise k
RETURN_A = 0x10
TXA = 0x80

# what most of a filter consists of
JEQ_K = 0x15
JSET_K = 0x45
LDW_ABS = 0x20
LDH_ABS = 0x28
LDB_ABS = 0x30
RET_K = 0x06

_INSTRUCTION = struct.Struct(">HBBI")
_LOADS = {LD | mode | size for mode in (ABS, IND) for size in (WORD, HALF, BYTE)}
_LOADS |= {LD | IMM, LD | MEM, LD | LEN, LDX | IMM, LDX | MEM, LDX | LEN, LDX | MSH | BYTE}
_ARITHMETIC = {ALU | operation | source for operation in range(ADD, XOR + 1, 0x10) for source in (0, BY_X)} - {
    ALU | NEG | BY_X
}
_JUMPS = {JMP | JA} | {JMP | test | source for test in (JEQ, JGT, JGE, JSET) for source in (0, BY_X)}
_RETURNS = {RET, RET | RETURN_A}
KNOWN = frozenset(_LOADS | _ARITHMETIC | _JUMPS | _RETURNS | {ST, STX, MISC, MISC | TXA})

Instruction = tuple[int, int, int, int]


class Program:
    """A filter program: `instructions` are (code, jt, jf, k). FilterError unless it is valid, and so ends."""

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        check(instructions)
        self.instructions = tuple(instructions)
        self.code = b"".join([_INSTRUCTION.pack(*instruction) for instruction in instructions])
        codes = {instruction[0] for instruction in instructions}
        self.has_memory = not codes.isdisjoint((ST, STX, LD | MEM, LDX | MEM))

    def run(self, data: bytes, start: int, captured: int, length: int) -> int:
        """What the program says of a packet: 0 rejects it.

        Its captured bytes are ``data[start:start + captured]`` (IndexError if they are not all there), `length` is
        what it had on the wire.
        """
        code = self.code
        at = 0
        a = 0
        x = 0
        memory = [0] * MEMORY_WORDS if self.has_memory else None
        while True:
            word = load_u64(code, at)
            at += 8
            opcode = word >> 48
            k = word & MASK32
            # the usual ones first, for speed: what follows them says the same
            if opcode == JEQ_K:
                at += ((word >> 40) & 0xFF if a == k else (word >> 32) & 0xFF) << 3
                continue
            offset = k
            if opcode == LDH_ABS and offset + 2 <= captured:
                a = load_u16(data, start + offset)
                continue
            if opcode == LDB_ABS and offset < captured:
                a = load_u8(data, start + offset)
                continue
            if opcode == LDW_ABS and offset + 4 <= captured:
                a = load_u32(data, start + offset)
                continue
            if opcode == JSET_K:
                at += ((word >> 40) & 0xFF if a & k else (word >> 32) & 0xFF) << 3
                continue
            if opcode == RET_K:
                return k
            kind = opcode & 0x07
            if kind == LD:
                mode = opcode & 0xE0
                if mode in (ABS, IND):
                    if mode == IND:
                        offset += x
                    size = opcode & 0x18
                    wanted = 4 if size == WORD else 2 if size == HALF else 1
                    if offset + wanted > captured:
                        return 0
                    a = load(data, start + offset, wanted)
                elif mode == IMM:
                    a = k
                elif mode == LEN:
                    a = length & MASK32
                else:
                    a = recall(memory, k)
            elif kind == JMP:
                operand = x if opcode & BY_X else k
                test = opcode & 0xF0
                if test == JA:
                    at += k * 8
                    continue
                if test == JEQ:
                    holds = a == operand
                elif test == JSET:
                    holds = (a & operand) != 0
                elif test == JGT:
                    holds = a > operand
                else:
                    holds = a >= operand
                at += ((word >> 40) & 0xFF if holds else (word >> 32) & 0xFF) * 8
            elif kind == RET:
                return a if opcode & RETURN_A else k
            elif kind == LDX:
                mode = opcode & 0xE0
                if mode == MSH:
                    if offset >= captured:
                        return 0
                    x = (load_u8(data, start + offset) & 0x0F) << 2
                elif mode == IMM:
                    x = k
                elif mode == LEN:
                    x = length & MASK32
                else:
                    x = recall(memory, k)
            elif kind == ALU:
                operand = x if opcode & BY_X else k
                operation = opcode & 0xF0
                if operand == 0 and operation in (DIV, MOD):
                    return 0
                a = compute(operation, a, operand)
            elif kind == MISC:
                if opcode & TXA:
                    a = x
                else:
                    x = a
            elif memory is not None:
                memory[k] = a if kind == ST else x


def load(data: bytes, offset: int, size: int) -> int:
    """The big-endian integer of 4, 2 or 1 bytes."""
    if size == 2:
        return load_u16(data, offset)
    if size == 1:
        return load_u8(data, offset)
    return load_u32(data, offset)


def recall(memory: list[int] | None, index: int) -> int:
    """A word of the scratch memory."""
    assert memory is not None
    return memory[index]


def compute(operation: int, a: int, operand: int) -> int:
    """The result of an arithmetic operation, modulo 2**32; a divisor is not 0."""
    if operation == AND:
        return a & operand
    if operation == ADD:
        return (a + operand) & MASK32
    if operation == SUB:
        return (a - operand) & MASK32
    if operation == LSH:
        return (a << operand) & MASK32 if operand < 32 else 0
    if operation == RSH:
        return a >> operand if operand < 32 else 0
    if operation == OR:
        return a | operand
    if operation == XOR:
        return a ^ operand
    if operation == MUL:
        return (a * operand) & MASK32
    if operation == DIV:
        return a // operand
    if operation == MOD:
        return a % operand
    return (0 - a) & MASK32


def check(instructions: Sequence[Instruction]) -> None:
    """FilterError, one line, unless the program is one that ends, and reads no memory that is not there."""
    count = len(instructions)
    if not 0 < count <= MAX_INSTRUCTIONS:
        raise FilterError(f"a filter program has 1 to {MAX_INSTRUCTIONS} instructions, not {count}")
    for index, (code, jt, jf, k) in enumerate(instructions):
        wrong = _wrong(code, jt, jf, k, count - index - 1)
        if wrong:
            raise FilterError(f"instruction {index} of the filter program: {wrong}")
    if instructions[-1][0] & 0x07 != RET:
        raise FilterError("the filter program does not end with a return")


def _wrong(code: int, jt: int, jf: int, k: int, behind: int) -> str:
    """What is wrong with an instruction that `behind` others follow; "" if nothing is."""
    if not (0 <= jt <= 0xFF and 0 <= jf <= 0xFF and 0 <= k <= MASK32):
        return "a field is out of range"
    if code not in KNOWN:
        return f"code {code:#x} is not known"
    if code == JMP | JA:
        return "" if k < behind else "it jumps out of the program, or back"
    if code & 0x07 == JMP:
        return "" if max(jt, jf) < behind else "it jumps out of the program"
    if code in (ALU | DIV, ALU | MOD) and k == 0:
        return "it divides by zero"
    if code in (ST, STX, LD | MEM, LDX | MEM) and k >= MEMORY_WORDS:
        return f"there is no memory word {k}"
    return ""
