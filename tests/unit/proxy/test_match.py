"""Match expressions: each primitive, precedence, errors with their place, and a reference evaluator."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uinet.errors import InvalidArgument
from uinet.proxy.match import Flow, MatchError, parse_match
from uinet.wire.addresses import L2Info, Mac

ip = ipaddress.ip_address


def flow(**changed: Any) -> Flow:
    plain = Flow(
        ip("10.1.2.3"), 40000, ip("192.0.2.80"), 443, (100, 200),
        Mac.parse("02:00:00:00:00:01"), Mac.parse("02:00:00:00:00:02"),
    )
    return plain._replace(**changed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("any", True),
        ("ALL", True),
        ("tcp", True),
        ("not any", False),
        ("ip", True),
        ("ip6", False),
        ("tcp port 80,443", True),
        ("port 40000", True),
        ("tcp dst port 40000", False),
        ("src port 40000", True),
        ("dst port 400-500", True),
        ("dst port 444-500,1-442", False),
        ("host 10.1.2.3", True),
        ("dst host 10.1.2.3", False),
        ("dst host 192.0.2.80,fd00::1", True),
        ("src net 10.0.0.0/8", True),
        ("dst net 10.0.0.0/8", False),
        ("net 10.1.2.99/24", True),
        ("net fd00::/8", False),
        ("net ::/0", False),
        ("vlan any", True),
        ("vlan none", False),
        ("vlan 100", True),
        ("vlan 200", False),
        ("vlan 100:200", True),
        ("vlan 100:200:300", False),
        ("vlan 7,100:200", True),
        ("ether src 02:00:00:00:00:01", True),
        ("ether dst 02:00:00:00:00:01", False),
        ("ether host 02:00:00:00:00:02", True),
        ("from client", True),
        ("from server", False),
        ("tcp and port 443", True),
        ("tcp or not tcp", True),
        ("not port 80 and not port 443", False),
        ("not (port 80 and port 443)", True),
        ("port 80 and port 1 or port 443", True),  # and binds tighter
        ("port 80 and (port 1 or port 443)", False),
        ("!(vlan none)&&port 443||port 1", True),
        ("  not\tnot  vlan\n100 ", True),
    ],
)
def test_expression_on_a_flow(text: str, expected: bool) -> None:
    match = parse_match(text)
    assert match(flow()) is expected
    assert parse_match(str(match))(flow()) is expected


def test_flow_of_a_syn_leaves_priority_tags_out() -> None:
    class Syn:
        source = (ip("10.0.0.1"), 1)
        destination = (ip("10.0.0.2"), 2)
        l2info = L2Info.make("02:00:00:00:00:01", "02:00:00:00:00:02", [0, 5])

    made = Flow.of(Syn(), from_server=True)
    assert made.vids == (5,)
    assert made.from_server
    assert (made.source_port, made.destination_port) == (1, 2)


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 1, "expected 'port', 'host', 'net', 'vlan', 'ether', 'from', 'not' or '(', found its end"),
        ("   ", 1, "found its end"),
        ("tcp port", 9, "expected a port, or a range of ports, found its end"),
        ("tcp port http", 10, "expected a port, or a range of ports, found 'http'"),
        ("tcp port 80,443,x1", 17, "found 'x1'"),
        ("port 70000", 6, "found '70000'"),
        ("port 90-80", 6, "found '90-80'"),
        ("port ²", 6, "found '²'"),
        ("tcp net 10.0.0.0/8", 5, "expected 'and', 'or' or the end, found 'net'"),
        ("tcp src net 10.0.0.0/8", 9, "expected 'port', found 'net'"),
        ("net 10.0.0.0/33", 5, "expected a network prefix"),
        ("host 10.0.0", 6, "expected an IP address"),
        ("vlan 0", 6, "expected 'any', 'none' or VLAN numbers"),
        ("vlan 4096", 6, "expected 'any', 'none' or VLAN numbers"),
        ("vlan 1::2", 6, "expected 'any', 'none' or VLAN numbers"),
        ("ether 02:00:00:00:00:01", 7, "expected 'src', 'dst' or 'host'"),
        ("ether src 02:00", 11, "expected a MAC address"),
        ("from here", 6, "expected 'client' or 'server'"),
        ("port 80 port 443", 9, "expected 'and', 'or' or the end, found 'port'"),
        ("(port 80", 9, "expected ')', found its end"),
        ("port 80)", 8, "expected 'and', 'or' or the end, found ')'"),
        ("port 80 and", 12, "found its end"),
        ("port 80 & port 443", 9, "unexpected character, found '&'"),
        ("bogus", 1, "found 'bogus'"),
        ("not " * 200 + "any", 401, "nested deeper than 100"),
        ("(" * 5000, 101, "nested deeper than 100"),
    ],
)
def test_error_points_at_the_place(text: str, column: int, says: str) -> None:
    with pytest.raises(MatchError) as caught:
        parse_match(text)
    message = str(caught.value)
    assert isinstance(caught.value, InvalidArgument)
    assert f"column {column}:" in message
    assert says in message
    assert "\n" not in message
    assert f"{text[: column - 1]}>>>{text[column - 1:]}" in message


# The reference: trees of tuples, turned to text in many spellings and evaluated with no code of match.py.

ADDRESSES = ["10.0.0.1", "10.0.0.200", "10.9.0.1", "192.0.2.1", "fd00::1", "fd00:1::1", "2001:db8::5"]
PREFIXES = ["10.0.0.0/24", "10.0.0.0/8", "10.0.0.1/32", "0.0.0.0/0", "fd00::/16", "::/0", "2001:db8::/32"]
MACS = ["02:00:00:00:00:01", "02:00:00:00:00:02", "ff:ff:ff:ff:ff:ff"]
ENDS = ["", "src", "dst"]
ports = st.sampled_from([0, 1, 79, 80, 81, 443, 65535])
vids = st.sampled_from([1, 2, 3])


def some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=3)


leaves = st.one_of(
    st.just(("any",)),
    st.tuples(st.just("version"), st.sampled_from([4, 6])),
    st.tuples(
        st.just("port"), st.sampled_from(ENDS), some(st.tuples(ports, ports).map(sorted)), st.booleans()
    ),
    st.tuples(st.just("host"), st.sampled_from(ENDS), some(st.sampled_from(ADDRESSES))),
    st.tuples(st.just("net"), st.sampled_from(ENDS), some(st.sampled_from(PREFIXES))),
    st.tuples(st.just("tagged"), st.booleans()),
    st.tuples(st.just("vlan"), some(st.lists(vids, min_size=1, max_size=3))),
    st.tuples(st.just("ether"), st.sampled_from(["src", "dst", "host"]), some(st.sampled_from(MACS))),
    st.tuples(st.just("from"), st.booleans()),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.just("and"), inner, inner),
        st.tuples(st.just("or"), inner, inner),
    ),
    max_leaves=12,
)
addresses_of_one_version = st.sampled_from(
    [(a, b) for a in ADDRESSES for b in ADDRESSES if ip(a).version == ip(b).version]
)
flows = st.builds(
    lambda ends, sport, dport, tags, macs, server: Flow(
        ip(ends[0]), sport, ip(ends[1]), dport, tuple(tags), Mac.parse(macs[0]), Mac.parse(macs[1]), server
    ),
    addresses_of_one_version, ports, ports, st.lists(vids, max_size=3),
    st.tuples(st.sampled_from(MACS), st.sampled_from(MACS)), st.booleans(),
)
PRECEDENCE = {"or": 1, "and": 2, "not": 3}
SPELLINGS = {"or": ["or", "||", "OR"], "and": ["and", "&&"], "not": ["not", "!"]}
WORDS = [
    "tcp", "port", "80", "(", ")", "not", "and", "or", "src", "net", "10.0.0.0/8", "vlan", "any", ",", "&",
    "\x00",
]


def evaluate(tree: Any, f: Flow) -> bool:
    kind = tree[0]
    if kind == "not":
        return not evaluate(tree[1], f)
    if kind in ("and", "or"):
        both = evaluate(tree[1], f), evaluate(tree[2], f)
        return all(both) if kind == "and" else any(both)
    if kind in ("port", "host", "net", "ether"):
        src, dst = {
            "port": (f.source_port, f.destination_port),
            "ether": (str(Mac(f.source_mac)), str(Mac(f.destination_mac))),
        }.get(kind, (f.source, f.destination))
        looked_at = {"src": [src], "dst": [dst]}.get(tree[1], [src, dst])
        if kind == "port":
            return any(value in range(low, high + 1) for value in looked_at for low, high in tree[2])
        if kind == "ether":
            return any(value in tree[2] for value in looked_at)
        return any(value in ipaddress.ip_network(net) for value in looked_at for net in tree[2])
    if kind == "vlan":
        return any(list(f.vids)[: len(stack)] == stack for stack in tree[1])
    return {
        "any": lambda: True,
        "version": lambda: f.source.version == tree[1],
        "tagged": lambda: (len(f.vids) > 0) == tree[1],
        "from": lambda: f.from_server == tree[1],
    }[kind]()


def write(tree: Any, draw: Any, outer: int = 0) -> str:
    """The tree as text, with parentheses where they are needed and now and then where they are not."""
    kind = tree[0]
    if kind in PRECEDENCE:
        level = PRECEDENCE[kind]
        operator = draw(st.sampled_from(SPELLINGS[kind]))
        parts = [write(part, draw, level) for part in tree[1:]]
        text = f"{operator} {parts[0]}" if kind == "not" else f" {operator} ".join(parts)
    else:
        level, text = 9, write_leaf(tree)
    if level < outer or draw(st.integers(0, 5)) == 0:
        text = f"({text})"
    return text


def write_leaf(tree: Any) -> str:
    kind, *rest = tree
    if kind == "port":
        end, ranges, tcp = rest
        listed = ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in ranges)
        return f"{'tcp ' if tcp else ''}{end} port {listed}"
    if kind in ("host", "net", "ether"):
        order = (kind, rest[0]) if kind == "ether" else (rest[0], kind)
        return f"{order[0]} {order[1]} {','.join(rest[1])}"
    if kind == "vlan":
        return "vlan " + ",".join(":".join(map(str, stack)) for stack in rest[0])
    return {
        "any": lambda: "any",
        "version": lambda: "ip" if rest[0] == 4 else "ip6",
        "tagged": lambda: "vlan any" if rest[0] else "vlan none",
        "from": lambda: "from server" if rest[0] else "from client",
    }[kind]()


@settings(max_examples=200, deadline=None)
@given(tree=trees, some_flows=st.lists(flows, min_size=1, max_size=5), data=st.data())
def test_any_expression_means_what_the_reference_says(tree: Any, some_flows: list[Flow], data: Any) -> None:
    text = write(tree, data.draw)
    match = parse_match(text)
    again = parse_match(str(match))
    for each in some_flows:
        assert match(each) is evaluate(tree, each), text
        assert again(each) is match(each), (text, str(match))


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)))
def test_any_text_parses_or_is_a_match_error(text: str) -> None:
    try:
        match = parse_match(text)
    except MatchError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert match(flow()) in (True, False)
