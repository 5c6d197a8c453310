from __future__ import annotations

import asyncio
import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uinet import Host
from uinet.aio.resolver import Resolver
from uinet.dns import (
    TYPE_A,
    TYPE_AAAA,
    Malformed,
    NameNotFound,
    answers,
    encode_name,
    make_query,
    parse_answer,
    read_name,
)

QUERY = b"\x12\x34\x01\x00\0\1\0\0\0\0\0\0\x03www\x07example\0\0\1\0\1"


def answer(*records: bytes, flags: int = 0x8180, question: bytes = QUERY[12:]) -> bytes:
    return QUERY[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)


def record(data: bytes, kind: int = TYPE_A, owner: bytes = b"\xc0\x0c", class_: int = 1) -> bytes:
    return owner + struct.pack(">HHIH", kind, class_, 300, len(data)) + data


ADDRESS = bytes([192, 0, 2, 1])


def test_a_query_has_a_number_of_its_own_and_the_name_in_labels() -> None:
    one, two = make_query("www.example.", TYPE_A), make_query("WWW.example", TYPE_A)
    assert one[2:] == two[2:] == QUERY[2:]
    assert len({make_query("x", TYPE_A)[:2] for _ in range(20)}) > 10


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64 + ".example", ".".join(["abcdefg"] * 40)])
def test_what_can_be_no_name_is_not_asked_for(name: str) -> None:
    with pytest.raises(NameNotFound, match="no name"):
        encode_name(name)


def test_international_names_are_encoded() -> None:
    assert encode_name("bücher.example") == b"\x0dxn--bcher-kva\x07example\0"


def test_addresses_of_the_name_that_was_asked_for_count() -> None:
    data = answer(
        record(ADDRESS), record(bytes(4), owner=b"\x05other\0"), record(bytes(4), class_=3),
        record(bytes(16), TYPE_AAAA), record(bytes(5)), record(bytes([192, 0, 2, 2]), owner=b"\x03WWW\x07EXAMPLE\0"),
    )
    assert parse_answer(data, QUERY, TYPE_A) == [ip_address("192.0.2.1"), ip_address("192.0.2.2")]
    assert parse_answer(data, QUERY, TYPE_AAAA) == [ip_address("::")]


def test_aliases_are_followed_and_circles_left() -> None:
    alias = record(b"\x01a\0", 5)
    second = record(b"\x01b\0", 5, b"\x01a\0")
    data = answer(record(ADDRESS, owner=b"\x01b\0"), second, alias)
    assert parse_answer(data, QUERY, TYPE_A) == [ip_address("192.0.2.1")]
    circle = answer(alias, record(b"\xc0\x0c", 5, b"\x01a\0"))
    assert parse_answer(circle, QUERY, TYPE_A) == []


def test_only_the_answer_to_this_question_is_believed() -> None:
    assert answers(answer(), QUERY)
    assert not answers(b"\0\0" + answer()[2:], QUERY)  # another number
    assert not answers(answer(flags=0x0100), QUERY)  # a question
    assert not answers(answer(question=b"\x03www\x06exampl\0\0\1\0\1"), QUERY)
    assert not answers(answer()[:20], QUERY)
    with pytest.raises(NameNotFound):
        parse_answer(answer(flags=0x8183), QUERY, TYPE_A)
    with pytest.raises(Malformed, match="error 2"):
        parse_answer(answer(flags=0x8182), QUERY, TYPE_A)


@pytest.mark.parametrize(
    "data", [b"", b"\x05ab", b"\xc0", b"\xc0\x00", b"\x40", b"\x01a", b"\x3f" + b"x" * 63 + b"\xc0\x00"]
)
def test_names_that_end_nowhere(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_name(data, 0)


@given(st.binary(max_size=200), st.sampled_from([TYPE_A, TYPE_AAAA]))
def test_no_answer_does_harm(tail: bytes, kind: int) -> None:
    for count in (1, 2, 65535):
        data = QUERY[:2] + struct.pack(">HHHHH", 0x8180, 1, count, 0, 0) + QUERY[12:] + tail
        try:
            found = parse_answer(data, QUERY, kind)
        except (Malformed, NameNotFound):
            continue
        assert all(address.version == (4 if kind == TYPE_A else 6) for address in found)


def test_hosts_are_known_without_asking() -> None:
    async def program() -> None:
        async with Host() as host:
            resolver = Resolver(host, hosts={"Web.Example": "192.0.2.1", "both": ["192.0.2.2", "2001:db8::2"]})
            assert await resolver.resolve("web.example.") == [ip_address("192.0.2.1")]
            assert await resolver.resolve("both", (6,)) == [ip_address("2001:db8::2")]
            with pytest.raises(NameNotFound, match="has no address"):
                await resolver.resolve("web.example", (6,))
            with pytest.raises(NameNotFound, match="no nameserver to ask"):
                await resolver.resolve("elsewhere")

    asyncio.run(program())
