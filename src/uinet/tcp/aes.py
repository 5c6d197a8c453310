"""AES-128 encryption (FIPS 197) and AES-CMAC (RFC 4493), for TCP-AO's keys and MACs (RFC 5926) and nothing else.

Plain Python over tables: slow (some 50 us a block), and not proof against who can time this process. TCP-AO
authenticates a few packets a second of a routing session; whoever needs more takes HMAC-SHA-1-96.
"""

from __future__ import annotations

BLOCK = 16
ROUNDS = 10
MASK128 = (1 << 128) - 1
CARRY = 0x87  # RFC 4493, 2.3: const_Rb


def _double(value: int) -> int:
    """A byte times x in GF(2**8)."""
    return ((value << 1) ^ 0x1B) & 0xFF if value & 0x80 else value << 1


def _make_sbox() -> bytes:
    """The S-box (FIPS 197, 5.1.1): inverses in GF(2**8), by the powers of 3, and the affine transform."""
    powers = [1]
    for _ in range(254):
        powers.append(powers[-1] ^ _double(powers[-1]))
    exponent = {value: index for index, value in enumerate(powers)}
    box = bytearray(256)
    for value in range(256):
        inverse = powers[(255 - exponent[value]) % 255] if value else 0
        result = 0x63
        for turn in range(5):
            result ^= (inverse << turn | inverse >> (8 - turn)) & 0xFF
        box[value] = result
    return bytes(box)


SBOX = _make_sbox()


def _make_tables() -> tuple[tuple[int, ...], ...]:
    """SubBytes and MixColumns of one byte of a column, for each of its four rows."""
    rows = []
    for row in range(4):
        words = []
        for value in range(256):
            s = SBOX[value]
            column = bytes((_double(s), s, s, _double(s) ^ s))
            words.append(int.from_bytes(column[-row:] + column[:-row] if row else column, "big"))
        rows.append(tuple(words))
    return tuple(rows)


T0, T1, T2, T3 = _make_tables()


class Aes128:
    """One key."""

    __slots__ = ("words",)

    def __init__(self, key: bytes) -> None:
        if len(key) != BLOCK:
            raise ValueError(f"an AES-128 key has 16 bytes, not {len(key)}")
        words = [int.from_bytes(key[at : at + 4], "big") for at in range(0, BLOCK, 4)]
        constant = 1
        for index in range(4, 4 * (ROUNDS + 1)):
            word = words[-1]
            if index % 4 == 0:
                word = _substitute((word << 8 | word >> 24) & 0xFFFFFFFF) ^ constant << 24
                constant = _double(constant)
            words.append(words[index - 4] ^ word)
        self.words = tuple(words)

    def encrypt(self, block: bytes) -> bytes:
        """One block of 16 bytes."""
        k = self.words
        a, b, c, d = (int.from_bytes(block[at : at + 4], "big") ^ k[at // 4] for at in range(0, BLOCK, 4))
        for at in range(4, 4 * ROUNDS, 4):
            a, b, c, d = (
                T0[a >> 24] ^ T1[b >> 16 & 255] ^ T2[c >> 8 & 255] ^ T3[d & 255] ^ k[at],
                T0[b >> 24] ^ T1[c >> 16 & 255] ^ T2[d >> 8 & 255] ^ T3[a & 255] ^ k[at + 1],
                T0[c >> 24] ^ T1[d >> 16 & 255] ^ T2[a >> 8 & 255] ^ T3[b & 255] ^ k[at + 2],
                T0[d >> 24] ^ T1[a >> 16 & 255] ^ T2[b >> 8 & 255] ^ T3[c & 255] ^ k[at + 3],
            )
        return b"".join(
            (_substitute(w & 0xFF000000 | x & 0xFF0000 | y & 0xFF00 | z & 0xFF) ^ k[4 * ROUNDS + at]).to_bytes(4, "big")
            for at, (w, x, y, z) in enumerate(((a, b, c, d), (b, c, d, a), (c, d, a, b), (d, a, b, c)))
        )


def _substitute(word: int) -> int:
    """The S-box on each byte of a word."""
    return SBOX[word >> 24] << 24 | SBOX[word >> 16 & 255] << 16 | SBOX[word >> 8 & 255] << 8 | SBOX[word & 255]


def cmac(key: bytes, message: bytes) -> bytes:
    """AES-CMAC of any message (RFC 4493, 2.4): 16 bytes."""
    cipher = Aes128(key)
    subkey = _shift(int.from_bytes(cipher.encrypt(bytes(BLOCK)), "big"))
    if not message or len(message) % BLOCK:
        subkey = _shift(subkey)
        message += b"\x80" + bytes(-(len(message) + 1) % BLOCK)
    state = 0
    for at in range(0, len(message) - BLOCK, BLOCK):
        block = state ^ int.from_bytes(message[at : at + BLOCK], "big")
        state = int.from_bytes(cipher.encrypt(block.to_bytes(BLOCK, "big")), "big")
    last = state ^ int.from_bytes(message[-BLOCK:], "big") ^ subkey
    return cipher.encrypt(last.to_bytes(BLOCK, "big"))


def _shift(value: int) -> int:
    """Twice a 128-bit number in GF(2**128) (RFC 4493, 2.3)."""
    doubled = value << 1 & MASK128
    return doubled ^ CARRY if value >> 127 else doubled
