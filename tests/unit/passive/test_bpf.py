"""The BPF machine: hand-made programs, and everything that a program may not be."""

from __future__ import annotations

import pytest

from uinet.errors import FilterError
from uinet.passive.bpf import KNOWN, Program

Code = tuple[int, int, int, int]
A = (0x16, 0, 0, 0)  # ret A
DATA = bytes(range(0xF0, 0x100))


def run(*program: Code, data: bytes = DATA, start: int = 0, captured: int | None = None, length: int = 99) -> int:
    return Program(program).run(data, start, len(data) - start if captured is None else captured, length)


def ld(k: int) -> Code:
    return (0x00, 0, 0, k)


def ldx(k: int) -> Code:
    return (0x01, 0, 0, k)


TAX, TXA = (0x07, 0, 0, 0), (0x87, 0, 0, 0)


def test_return_gives_the_constant_or_a() -> None:
    assert run((0x06, 0, 0, 262144)) == 262144
    assert run(ld(7), A) == 7
    assert run((0x06, 0, 0, 0xFFFFFFFF)) == 0xFFFFFFFF
    assert run((0x06, 0, 0, 0xA5A5A5A5)) == 0xA5A5A5A5


@pytest.mark.parametrize(("code", "expected"), [
    (0x20, 0xF2F3F4F5), (0x28, 0xF2F3), (0x30, 0xF2),
])
def test_absolute_loads_are_big_endian_and_from_the_packets_start(code: int, expected: int) -> None:
    assert run((code, 0, 0, 2), A) == expected
    assert run((code, 0, 0, 0), A, start=2) == expected
    assert run(ldx(2), (code + 0x20, 0, 0, 0), A) == expected  # IND
    assert run(ldx(1), (code + 0x20, 0, 0, 1), A) == expected


@pytest.mark.parametrize(("code", "size"), [(0x20, 4), (0x28, 2), (0x30, 1)])
def test_load_beyond_the_captured_bytes_rejects(code: int, size: int) -> None:
    yes = (0x06, 0, 0, 1)
    last = 10 - size
    assert run((code, 0, 0, last), yes, captured=10) == 1
    assert run((code, 0, 0, last + 1), yes, captured=10) == 0
    assert run((code, 0, 0, last), yes, start=3, captured=10) == 1
    assert run((code, 0, 0, last + 1), yes, start=3, captured=10) == 0
    for k in (0xFFFFFFFF, 0xFFFFFFFC, 0x7FFFFFFF, 0x80000000, 0xFFFFF030):
        assert run((code, 0, 0, k), yes) == 0
        assert run(ldx(5), (code + 0x20, 0, 0, k), yes) == 0
        assert run(ldx(k), (code + 0x20, 0, 0, 5), yes) == 0
        assert run(ldx(k), (code + 0x20, 0, 0, k), yes) == 0
    assert run((code, 0, 0, 0), yes, captured=0) == 0


def test_ip_header_length_load() -> None:
    msh = (0xB1, 0, 0, 2)
    assert run(msh, TXA, A) == 2 * 4  # the low half of f2
    assert run(msh, TXA, A, captured=3) == 8
    assert run(msh, TXA, A, captured=2) == 0
    assert run((0xB1, 0, 0, 0xFFFFFFFF), TXA, A) == 0


def test_length_is_that_on_the_wire() -> None:
    assert run((0x80, 0, 0, 0), A, captured=1, length=1514) == 1514
    assert run((0x81, 0, 0, 0), TXA, A, captured=1, length=70_000) == 70_000


ALU: list[tuple[int, int, int, int]] = [  # operation, A, operand, result
    (0x00, 0xFFFFFFFF, 2, 1), (0x10, 1, 2, 0xFFFFFFFF), (0x20, 0x10001, 0x10001, 0x20001), (0x30, 17, 5, 3),
    (0x30, 0xFFFFFFFF, 2, 0x7FFFFFFF), (0x40, 0xF0, 0x0F, 0xFF), (0x50, 0xFF, 0x3C, 0x3C), (0x60, 3, 31, 0x80000000),
    (0x60, 3, 32, 0), (0x60, 3, 0xFFFFFFFF, 0), (0x70, 0x80000000, 31, 1), (0x70, 0x80000000, 32, 0),
    (0x90, 17, 5, 2), (0x90, 0xFFFFFFFF, 16, 15), (0xA0, 0xFF, 0x0F, 0xF0),
]


@pytest.mark.parametrize(("operation", "a", "operand", "expected"), ALU)
def test_arithmetic_is_modulo_32_bits(operation: int, a: int, operand: int, expected: int) -> None:
    assert run(ld(a), (0x04 | operation, 0, 0, operand), A) == expected
    assert run(ldx(operand), ld(a), (0x0C | operation, 0, 0, 12345), A) == expected


def test_negation() -> None:
    assert run(ld(1), (0x84, 0, 0, 0), A) == 0xFFFFFFFF
    assert run(ld(0), (0x84, 0, 0, 0), A) == 0
    assert run(ld(0x80000000), (0x84, 0, 0, 0), A) == 0x80000000


@pytest.mark.parametrize("operation", [0x30, 0x90])
def test_division_by_an_x_of_zero_rejects(operation: int) -> None:
    assert run(ldx(0), ld(5), (0x0C | operation, 0, 0, 0), (0x06, 0, 0, 1)) == 0


@pytest.mark.parametrize(("test", "a", "operand", "holds"), [
    (0x10, 5, 5, True), (0x10, 5, 6, False), (0x20, 6, 5, True), (0x20, 5, 5, False), (0x20, 0xFFFFFFFF, 1, True),
    (0x30, 5, 5, True), (0x30, 4, 5, False), (0x40, 6, 2, True), (0x40, 4, 2, False),
])
def test_conditional_jumps(test: int, a: int, operand: int, holds: bool) -> None:
    ends: tuple[Code, ...] = ((0x06, 0, 0, 10), (0x06, 0, 0, 20), (0x06, 0, 0, 30))
    assert run(ld(a), (0x05 | test, 2, 1, operand), *ends) == (30 if holds else 20)
    assert run(ldx(operand), ld(a), (0x0D | test, 1, 2, 777), *ends) == (20 if holds else 30)


def test_plain_jump_and_the_longest_ones() -> None:
    ends: tuple[Code, ...] = tuple((0x06, 0, 0, index) for index in range(256))
    assert run((0x05, 0, 0, 255), *ends) == 255
    assert run(ld(1), (0x15, 255, 0, 1), *ends) == 255
    assert run(ld(0), (0x15, 0, 255, 1), *ends) == 255


def test_memory_is_kept_in_a_run_and_zero_in_the_next() -> None:
    program = Program([(0x60, 0, 0, 15), (0x15, 1, 0, 0), (0x06, 0, 0, 99), ld(5), (0x02, 0, 0, 15), ldx(9),
                       (0x03, 0, 0, 0), (0x60, 0, 0, 0), (0x61, 0, 0, 15), (0x0C, 0, 0, 0), A])
    assert program.run(b"", 0, 0, 0) == 14
    assert program.run(b"", 0, 0, 0) == 14


def test_transfers_between_a_and_x() -> None:
    assert run(ld(3), TAX, ld(4), TXA, A) == 3


def test_a_packet_that_is_not_there_is_the_callers_mistake() -> None:
    with pytest.raises(IndexError):
        run((0x30, 0, 0, 20), A, captured=40)


END: Code = (0x06, 0, 0, 1)


@pytest.mark.parametrize(("program", "message"), [
    ([], "1 to 4096 instructions, not 0"),
    ([END] * 4097, "1 to 4096 instructions, not 4097"),
    ([ld(1)], "does not end with a return"),
    ([(0x05, 0, 0, 1), END], "instruction 0 of the filter program: it jumps out of the program, or back"),
    ([(0x05, 0, 0, 0xFFFFFFFE), END], "jumps out of the program, or back"),
    ([(0x15, 1, 0, 0), END], "jumps out of the program"),
    ([(0x15, 0, 1, 0), END], "jumps out of the program"),
    ([(0x34, 0, 0, 0), END], "divides by zero"),
    ([(0x94, 0, 0, 0), END], "divides by zero"),
    ([(0x02, 0, 0, 16), END], "no memory word 16"),
    ([(0x03, 0, 0, 16), END], "no memory word 16"),
    ([(0x60, 0, 0, 0xFFFFFFFF), END], "no memory word"),
    ([(0x61, 0, 0, 16), END], "no memory word 16"),
    ([(0x18, 0, 0, 0), END], "code 0x18 is not known"),
    ([(0x8C, 0, 0, 0), END], "code 0x8c is not known"),
    ([(0xFFFF, 0, 0, 0), END], "code 0xffff is not known"),
    ([(0x10004, 0, 0, 0), END], "is not known"),
    ([(0x15, 256, 0, 0), END], "a field is out of range"),
    ([(0x00, 0, 0, 1 << 32), END], "a field is out of range"),
    ([(0x00, 0, 0, -1), END], "a field is out of range"),
])
def test_a_program_that_is_not_valid_is_refused(program: list[Code], message: str) -> None:
    with pytest.raises(FilterError, match=message) as caught:
        Program(program)
    assert "\n" not in str(caught.value)


def test_each_known_code_runs() -> None:
    for code in sorted(KNOWN):
        result = Program([ldx(1), (code, 0, 0, 1), END, END, END]).run(DATA, 0, 16, 16)
        assert result == 0 if code == 0x16 else result == 1
    assert len(KNOWN) == 6 + 7 + 2 + 21 + 9 + 2 + 2
