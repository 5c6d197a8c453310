"""Hosts files: what they make, and what is said of those that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uinet.cli import main
from uinet.errors import InvalidArgument
from uinet.hosts.directory import Directory
from uinet.hosts.places import line_of
from uinet.hosts.plan import read_plan
from uinet.hosts.reading import FileError
from uinet.wire.addresses import unpack_address

TEN_LINES = """
[defaults]
gateway = "10.9.0.1"
[template.web]
tcp = { 80 = { http = "{name}" }, "8000-8003" = "echo" }
[[hosts]]
use = "web"
vlan = "100-199"
per-vlan = true
count = 30
ip = ["10.9.4.1/16", "fd00:9::1/64"]
"""


def test_ten_lines_make_three_thousand_hosts() -> None:
    plan = read_plan("x.toml", TEN_LINES)
    hosts = list(plan.hosts())
    assert len(hosts) == plan.size == 3000
    assert len({host.mac for host in hosts}) == 3000
    last = hosts[-1]
    assert [tag.vid for tag in last.tags] == [199]
    assert [str(unpack_address(address)) for address in last.addresses] == ["10.9.4.30", "fd00:9::1e"]
    assert sorted(last.group.tcp) == [80, 8000, 8001, 8002, 8003] and last.group.gateways == ["10.9.0.1"]
    assert len(Directory(hosts)) == 3000


def test_vlans_take_turns_and_steps_count() -> None:
    plan = read_plan(
        "x", '[[hosts]]\ncount = 4\nvlan = [7, "1:2"]\nstep = 256\nip = "10.9.0.5/16"\nmac = "02:00:00:00:00:fe"'
    )
    hosts = list(plan.hosts())
    assert [[tag.vid for tag in host.tags] for host in hosts] == [[7], [1, 2], [7], [1, 2]]
    assert [host.addresses[0][2:] for host in hosts] == [b"\0\5", b"\1\5", b"\2\5", b"\3\5"]
    assert hosts[2].mac.hex(":") == "02:00:00:00:01:00"


def test_hosts_table_counts_before_template_and_defaults() -> None:
    text = """
[defaults]
ping = false
mtu = 1400
[template.a]
ping = true
tcp = { 80 = "echo", 81 = "echo" }
[[hosts]]
use = "a"
ip = "10.0.0.1/24"
mtu = 1300
[hosts.tcp]
80 = "filtered"
"""
    (group,) = read_plan("x", text).groups
    assert (group.ping, group.mtu) == (True, 1300)
    assert {port: service.kind for port, service in group.tcp.items()} == {80: "filtered", 81: "echo"}


BAD = [
    ("[[hosts]]\nip = \"10.0.0.1\"", 2, "hosts.ip", "want 10.0.0.1/24"),
    ("[[hosts]]\nip = \"10.0.0.0/24\"", 2, "hosts.ip", "prefix's own address"),
    ("[[hosts]]\ncount = 300\nip = \"10.0.0.1/24\"", 3, "hosts.ip", "leave its prefix"),
    ("[[hosts]]\ncount = 255\nip = \"10.0.0.1/24\"", 3, "hosts.ip", "broadcast"),
    ("[[hosts]]\ncount = 0\nip = \"10.0.0.1/24\"", 2, "hosts.count", "whole number from 1"),
    ("[[hosts]]\ncount = true\nip = \"10.0.0.1/24\"", 2, "hosts.count", "whole number"),
    ("[[hosts]]\nip = \"224.0.0.1/24\"", 2, "hosts.ip", "unicast"),
    ("[[hosts]]\nip = \"nonsense/24\"", 2, "hosts.ip", "not an IP address"),
    ("[[hosts]]\nip = 5.5", 2, "hosts.ip", "want a text"),
    ("[[hosts]]\nname = \"x\"", 1, "hosts.ip", "needs an address"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\nmac = \"01:00:00:00:00:01\"", 3, "hosts.mac", "single interfaces"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\nmac = \"x\"", 3, "hosts.mac", "not a MAC"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\nvlan = \"4095\"", 3, "hosts.vlan", "1 to 4094"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\nvlan = \"1-4094:1-4094\"", 3, "hosts.vlan", "at most"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\ngateway = \"10.1.0.1\"", 3, "hosts.gateway", "in no prefix"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\ngateway = [\"10.0.0.2\", \"10.0.0.3\"]", 3, "hosts.gateway", "one of each"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\nroutes = \"10.3.0.0/16\"", 3, "hosts.routes", "via"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\nroutes = \"10.3.0.1/16 via 10.0.0.2\"", 3, "hosts.routes", "want 10.3.0.0/16"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\nping = \"no\"", 3, "hosts.ping", "true or false"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\nclosed = \"rst\"", 3, "hosts.closed", "reset or silent"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\npign = true", 3, "hosts.pign", "nobody knows this key"),
    ("[[hosts]]\nip = \"fd00::1/64\"\nmtu = 1000", 3, "hosts.mtu", "IPv6 wants 1280"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\n[hosts.tcp]\n80 = \"htp\"", 4, "hosts.tcp.80", "want one of echo"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\n[hosts.tcp]\n70000 = \"http\"", 4, "hosts.tcp.70000", "1 to 65535"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\n[hosts.tcp]\n22 = \"banner\"", 4, "hosts.tcp.22", "has a text"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\n[hosts.tcp]\n80 = {http=\"x\", status=1}", 4, "hosts.tcp.80", "100 to 599"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\n[hosts.udp]\n80 = \"http\"", 4, "hosts.udp.80", "over udp"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\ntcp = {\"1-2000\" = \"echo\"}", 3, "hosts.tcp.1-2000", "uinet listen"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\nuse = \"web\"", 3, "hosts.use", "no template"),
    ("[template]\nweb = 5\n[[hosts]]\nip = \"10.0.0.1/24\"\nuse = \"web\"", 5, "hosts.use", "no template"),
    ("[template.t]\nping = 3\n[[hosts]]\nip = \"10.0.0.1/24\"\nuse = \"t\"", 2, "template.t.ping", "true or false"),
    ("[defaults]\ncount = \"x\"\n[[hosts]]\nip = \"10.0.0.1/24\"", 2, "defaults.count", "whole number"),
    ("[[hosts]]\nip = \"10.0.0.1/24\"\n[[hosts]]\nip = \"10.0.0.1/25\"\nping = 1", 5, "hosts.ping", "true or false"),
    ("device = \"x\"\nhosts = 5", 2, "hosts", "[[hosts]]"),
    ("dev = \"x\"\n[[hosts]]\nip = \"10.0.0.1/24\"", 1, "dev", "nobody knows"),
    ("", 1, "hosts", "[[hosts]]"),
]


@pytest.mark.parametrize(("text", "line", "key", "says"), BAD)
def test_what_is_wrong_is_told_with_its_line_and_key(text: str, line: int, key: str, says: str) -> None:
    with pytest.raises(FileError) as caught:
        read_plan("x.toml", text)
    told = str(caught.value)
    assert told.startswith(f"x.toml:{line}: {key}: ") and says in told and "\n" not in told, told


def test_what_is_no_toml_is_told() -> None:
    with pytest.raises(FileError, match=r"x.toml: .*line 2.*toml.io"):
        read_plan("x.toml", "a = 1\nb =\n")


def test_file_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["hosts", str(tmp_path / "none.toml"), "--check"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_two_hosts_of_one_address_are_told() -> None:
    text = '[[hosts]]\nname = "a"\ncount = 9\nip = "10.0.0.1/24"\n[[hosts]]\nname = "b"\nip = "10.0.0.5/24"\n'
    with pytest.raises(InvalidArgument, match=r"a-4 and b-0 both have 10.0.0.5"):
        Directory(read_plan("x", text).hosts())


def test_check_shows_groups(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "hosts.toml"
    file.write_text(TEN_LINES)
    assert main(["hosts", str(file), "--check"]) == 0
    assert "3,000 hosts" in capsys.readouterr().out


def test_no_device_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "hosts.toml"
    file.write_text(TEN_LINES)
    assert main(["hosts", str(file)]) == 2
    assert "--device URL" in capsys.readouterr().err


@given(st.text(max_size=60), st.lists(st.one_of(st.text(max_size=5), st.integers(0, 3)), max_size=4))
def test_places_of_anything_are_lines(text: str, path: list[str | int]) -> None:
    assert 1 <= line_of(text, tuple(path)) <= text.count("\n") + len(text) + 1


def test_example_makes_what_it_says() -> None:
    plan = read_plan(str(Path(__file__).parents[3] / "examples" / "lab.toml"))
    assert [group.size for group in plan.groups] == [1000, 1000, 20]
    assert len(Directory(plan.hosts())) == 2020
