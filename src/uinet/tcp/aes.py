"""AES-128 encryption (FIPS 197) and AES-CMAC (RFC 4493), for TCP-AO's keys and MACs (RFC 5926) and nothing else.

Over tables, so not proof against who can time this process or share its caches. Compiled a block takes about a
microsecond; interpreted fifty, a full segment five milliseconds: then take HMAC-SHA-1-96.
"""

from __future__ import annotations

from uinet.wire.kernels import load_u32

BLOCK = 16
ROUNDS = 10
MASK32 = 0xFFFFFFFF
HIGH = 0xFF000000
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


def _make_table(row: int) -> tuple[int, ...]:
    """SubBytes and MixColumns of one byte in `row` of a column: 256 words of 32 bits."""
    words = []
    for value in range(256):
        s = SBOX[value]
        column = bytes((_double(s), s, s, _double(s) ^ s))
        words.append(int.from_bytes(column[4 - row :] + column[: 4 - row], "big"))
    return tuple(words)


T0 = _make_table(0)
T1 = _make_table(1)
T2 = _make_table(2)
T3 = _make_table(3)


def substituted(word: int) -> int:
    """The S-box on each byte of a word."""
    return SBOX[word >> 24] << 24 | SBOX[(word >> 16) & 255] << 16 | SBOX[(word >> 8) & 255] << 8 | SBOX[word & 255]


def last_of(a: int, b: int, c: int, d: int, key: int) -> int:
    """One column of the last round, which mixes no columns: its bytes come from four."""
    return substituted((a & HIGH) | (b & 0xFF0000) | (c & 0xFF00) | (d & 0xFF)) ^ key


class Aes128:
    """One key, and a block under way: `absorb` is a step of CBC."""

    def __init__(self, key: bytes) -> None:
        if len(key) != BLOCK:
            raise ValueError(f"an AES-128 key has 16 bytes, not {len(key)}")
        words = [int.from_bytes(key[at : at + 4], "big") for at in range(0, BLOCK, 4)]
        constant = 1
        for index in range(4, 4 * (ROUNDS + 1)):
            word = words[-1]
            if index % 4 == 0:
                word = substituted(((word << 8) | (word >> 24)) & MASK32) ^ (constant << 24)
                constant = _double(constant)
            words.append(words[index - 4] ^ word)
        self.schedule = tuple(words)
        self.a = 0
        self.b = 0
        self.c = 0
        self.d = 0

    def absorb(self, data: bytes, at: int) -> None:
        """Encrypts what is under way, XORed with the 16 bytes of `data` at `at`."""
        k = self.schedule
        w = k[0]
        x = k[1]
        y = k[2]
        z = k[3]
        a = self.a ^ load_u32(data, at) ^ w
        b = self.b ^ load_u32(data, at + 4) ^ x
        c = self.c ^ load_u32(data, at + 8) ^ y
        d = self.d ^ load_u32(data, at + 12) ^ z
        row = 4
        while row < 4 * ROUNDS:
            w = T0[a >> 24]
            x = T1[(b >> 16) & 255]
            y = T2[(c >> 8) & 255]
            z = T3[d & 255]
            key = k[row]
            e = w ^ x ^ y ^ z ^ key
            w = T0[b >> 24]
            x = T1[(c >> 16) & 255]
            y = T2[(d >> 8) & 255]
            z = T3[a & 255]
            key = k[row + 1]
            f = w ^ x ^ y ^ z ^ key
            w = T0[c >> 24]
            x = T1[(d >> 16) & 255]
            y = T2[(a >> 8) & 255]
            z = T3[b & 255]
            key = k[row + 2]
            g = w ^ x ^ y ^ z ^ key
            w = T0[d >> 24]
            x = T1[(a >> 16) & 255]
            y = T2[(b >> 8) & 255]
            z = T3[c & 255]
            key = k[row + 3]
            d = w ^ x ^ y ^ z ^ key
            a = e
            b = f
            c = g
            row += 4
        self.a = last_of(a, b, c, d, k[row])
        self.b = last_of(b, c, d, a, k[row + 1])
        self.c = last_of(c, d, a, b, k[row + 2])
        self.d = last_of(d, a, b, c, k[row + 3])

    def take(self) -> int:
        """The block as a 128-bit number; zeros are under way then."""
        value = int(self.a) << 96 | int(self.b) << 64 | int(self.c) << 32 | int(self.d)
        self.a = self.b = self.c = self.d = 0
        return value

    def encrypt(self, block: bytes) -> bytes:
        """One block of 16 bytes."""
        self.take()
        self.absorb(block, 0)
        return self.take().to_bytes(BLOCK, "big")


def cmac(key: bytes, message: bytes) -> bytes:
    """AES-CMAC of any message (RFC 4493, 2.4): 16 bytes."""
    cipher = Aes128(key)
    cipher.absorb(bytes(BLOCK), 0)
    subkey = _shift(cipher.take())
    if not message or len(message) % BLOCK:
        subkey = _shift(subkey)
        message += b"\x80" + bytes(BLOCK - 1 - len(message) % BLOCK)
    whole = len(message) - BLOCK
    for at in range(0, whole, BLOCK):
        cipher.absorb(message, at)
    cipher.absorb((int.from_bytes(message[whole:], "big") ^ subkey).to_bytes(BLOCK, "big"), 0)
    return cipher.take().to_bytes(BLOCK, "big")


def _shift(value: int) -> int:
    """Twice a 128-bit number in GF(2**128) (RFC 4493, 2.3)."""
    doubled = value << 1 & MASK128
    return doubled ^ CARRY if value >> 127 else doubled
