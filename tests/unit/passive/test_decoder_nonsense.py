"""Whatever the bytes: decoding never raises, reads nothing outside its packet, and says the same in both builds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import uinet
from tests.unit.passive.decoding import LINK_TYPES, Decoding, digest, samples
from uinet.passive.codes import BAD, HELD, OTHER, SEGMENT

ROOT = Path(__file__).parents[3]
SETTINGS = settings(max_examples=300, deadline=None)
LENGTHS = st.integers(-(2**31), 2**31)


@st.composite
def packets(draw: st.DrawFn) -> tuple[int, bytes]:
    """A link type and bytes that may be of it: any, or a good packet with a few bytes changed and an end cut off."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from(LINK_TYPES)), draw(st.binary(max_size=120))
    link_type, packet = draw(st.sampled_from(samples()))
    data = bytearray(packet)
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return link_type, bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@given(packet=packets(), poison=st.binary(min_size=1, max_size=1), more=st.integers(0, 100))
@SETTINGS
def test_what_surrounds_a_packet_is_not_read(packet: tuple[int, bytes], poison: bytes, more: int) -> None:
    link_type, data = packet
    alone = Decoding()
    alone_code = alone.decoder.decode(link_type, data, 0, len(data), len(data) + more, alone.time)
    if alone_code == SEGMENT:
        alone.decoder.verify()
        alone.decoder.name_stack()
    outcomes = []
    for surrounding in (poison, b"\x45", b"\xff"):
        decoding = Decoding()
        code = decoding(data, link_type, length=len(data) + more, poison=surrounding)
        assert (code, decoding.counts) == (alone_code, alone.counts)
        outcomes.append(decoding.outcome(code))
    assert outcomes[0] == outcomes[1] == outcomes[2]


@given(data=st.binary(max_size=80), link_type=st.integers(0, 300), start=LENGTHS, captured=LENGTHS, length=LENGTHS)
@SETTINGS
def test_any_place_in_a_block_is_answered(data: bytes, link_type: int, start: int, captured: int, length: int) -> None:
    decoding = Decoding()
    code = decoding.decoder.decode(link_type, data, start, captured, length, 0)
    if code == SEGMENT:
        decoding.decoder.verify()
        decoding.decoder.name_stack()
    assert code in (SEGMENT, HELD, OTHER, BAD)
    if not (0 <= start <= len(data) and 0 <= captured <= len(data) - start):
        assert (code, decoding.counts) == (BAD, {"record_bounds": 1})


@given(data=st.binary(max_size=80), start=st.integers(0, 80), captured=st.integers(0, 80), length=st.integers(0, 200),
       link_type=st.sampled_from(LINK_TYPES))
@SETTINGS
def test_any_bytes_are_answered(data: bytes, start: int, captured: int, length: int, link_type: int) -> None:
    assert Decoding().decoder.decode(link_type, data, start, captured, length, 0) in (SEGMENT, HELD, OTHER, BAD)


def test_every_sample_is_looked_into() -> None:
    decoding = Decoding()
    codes = [decoding(packet, link_type) for link_type, packet in samples()]
    assert (codes.count(SEGMENT), codes.count(OTHER), codes.count(BAD)) == (len(codes) - 2 - 3, 2, 0)
    assert decoding.counts["frag_reassembled"] == 2


@pytest.mark.skipif(not uinet.compiled(), reason="only the interpreted build is here: nothing to compare")
@pytest.mark.skipif(not (ROOT / "src" / "uinet").is_dir(), reason="no sources beside the tests")
def test_both_builds_say_the_same() -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "tests.unit.passive.decoding", "7", "700"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["False", digest(7, 700)], done.stderr
