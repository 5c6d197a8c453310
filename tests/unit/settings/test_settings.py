"""Settings by name: every attribute has one, defaults are accepted, and what is out of range is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import uinet
from uinet.ip.settings import IpSettings
from uinet.passive.options import Limits, Options
from uinet.settings.interfaces import INTERFACE
from uinet.settings.kinds import Choice, Duration, Fact, Flag, Secret, Size, Whole, duration
from uinet.settings.registry import Setting
from uinet.settings.sysctl import HOLDERS, OF_INTERFACES, SETTINGS, default
from uinet.tcp.settings import Settings
from uinet.units import SECOND

NAMES = sorted(SETTINGS)
ALL = [*SETTINGS.values(), *INTERFACE]
READABLE = {"_congestion": "congestion"}


def attributes(thing: object) -> set[str]:
    """What an object of settings has, compiled or not."""
    found = {name for name in dir(thing) if not name.startswith("__") and not callable(getattr(thing, name))}
    return {READABLE.get(name, name) for name in found}


def held_by(holder: str) -> set[str]:
    return {one.attribute for one in SETTINGS.values() if one.holder == holder}


@pytest.fixture
def stack() -> uinet.Stack:
    stack = uinet.Stack(b"settings")
    stack.add_interface("eth0.100", mac="02:00:00:00:00:01")
    return stack


def test_every_setting_of_tcp_has_a_name() -> None:
    assert attributes(Settings()) - {"passive", "congestion"} == held_by("tcp") - {"congestion"}


def test_every_setting_of_ip_has_a_name() -> None:
    assert attributes(IpSettings()) == held_by("ip")


def test_every_option_and_limit_of_passive_sockets_has_a_name() -> None:
    assert {field.name for field in dataclasses.fields(Options)} - {"limits"} == held_by("passive")
    assert {field.name for field in dataclasses.fields(Limits)} == held_by("limits")


def test_a_name_is_used_once_and_so_is_an_attribute() -> None:
    assert len({one.name for one in ALL}) == len(ALL)
    assert len({(one.holder, one.attribute) for one in ALL}) == len(ALL)


@pytest.mark.parametrize("setting", ALL, ids=lambda one: one.name)
def test_every_setting_says_what_it_is(setting: Setting) -> None:
    assert setting.help and setting.kind.name and setting.kind.range and setting.applies
    assert "|" not in setting.help + setting.kind.range


@pytest.mark.parametrize("name", NAMES)
def test_the_default_is_what_a_new_stack_has_and_may_be_set(name: str, stack: uinet.Stack) -> None:
    setting = SETTINGS[name]
    fresh = default(setting)
    assert stack.sysctl[name] == fresh
    if not isinstance(setting.kind, Secret):
        stack.sysctl[name] = fresh
        assert stack.sysctl[name] == fresh
    stack.sysctl[name] = stack.sysctl.text(name) if fresh is not False or not isinstance(setting.kind, Secret) else ""
    assert stack.sysctl[name] == fresh


def beyond(kind: Any) -> list[Any]:
    """Values that can't be."""
    nothing = [None, [], {}, "", "nonsense", "1e3", float("nan"), float("inf"), -(10**40), 10**40, 10**400, 1e308]
    if isinstance(kind, Size):
        return [*nothing, kind.low - 1, kind.high + 1, f"{kind.high + 1}", "1.5", "5q", True]
    if isinstance(kind, Whole):
        return [*nothing, kind.low - 1, kind.high + 1, str(kind.high + 1), "1.5", 1.5, True]
    if isinstance(kind, Duration):
        over = (kind.high + SECOND) / SECOND
        return [*nothing, -1, over, f"{kind.high + 1}ns", "5 parsecs", True] + ([0] if kind.low else [])
    if isinstance(kind, Flag):
        return [*nothing, 2, -1, "2"]
    if isinstance(kind, Secret):
        return ["xy", "abc", 5, None, "00" * 65]
    assert isinstance(kind, Choice | Fact)
    return [*nothing, 5]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_out_of_range_is_refused_with_the_range_and_changes_nothing(name: str, stack: uinet.Stack) -> None:
    setting = SETTINGS[name]
    before = stack.sysctl[name]
    for value in beyond(setting.kind):
        with pytest.raises(uinet.InvalidArgument) as caught:
            stack.sysctl[name] = value
        assert str(caught.value).startswith(f"{name}: ") and setting.kind.range in str(caught.value), value
        assert stack.sysctl[name] == before


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(SETTINGS[name].kind, Whole | Duration)])
def test_the_ends_of_a_range_may_be_set_where_no_other_setting_bounds_it(name: str, stack: uinet.Stack) -> None:
    setting = SETTINGS[name]
    kind = setting.kind
    assert isinstance(kind, Whole | Duration)
    for end, bound in ((kind.low, setting.at_least), (kind.high, setting.at_most)):
        if bound:
            setattr(HOLDERS[setting.holder](stack), bound, end)
        stack.sysctl[name] = kind.show(end)
        assert getattr(HOLDERS[setting.holder](stack), setting.attribute) == end


@given(st.data())
def test_what_is_set_is_what_is_read(data: st.DataObject) -> None:
    stack = uinet.Stack(b"read")
    name = data.draw(st.sampled_from([name for name in NAMES if isinstance(SETTINGS[name].kind, Whole)]))
    kind = SETTINGS[name].kind
    assert isinstance(kind, Whole)
    value = data.draw(st.integers(kind.low - 2, kind.high + 2))
    before = stack.sysctl[name]
    try:
        stack.sysctl[name] = value
    except uinet.InvalidArgument as error:
        bounded = SETTINGS[name].at_most or SETTINGS[name].at_least
        assert bounded or not kind.low <= value <= kind.high
        assert "out of range" in str(error)
        assert stack.sysctl[name] == before
    else:
        assert kind.low <= value <= kind.high
        assert stack.sysctl[name] == value


@given(st.integers(0, 1 << 62))
def test_a_duration_as_text_is_the_duration(value: int) -> None:
    assert Duration(0, 1 << 62).load(duration(value)) == value


def test_sizes_and_durations_take_units(stack: uinet.Stack) -> None:
    stack.sysctl["net.inet.tcp.recvspace"] = "64k"
    assert stack.tcp.settings.receive_buffer == 65536
    stack.sysctl["net.inet.tcp.recvspace"] = "1.5M"
    assert stack.sysctl["net.inet.tcp.recvspace"] == 3 << 19
    stack.sysctl["net.inet.tcp.msl"] = 0.25
    assert stack.tcp.settings.msl == SECOND // 4 and stack.sysctl.text("net.inet.tcp.msl") == "250ms"
    stack.sysctl["net.inet.tcp.keepidle"] = "2 h"
    assert stack.sysctl["net.inet.tcp.keepidle"] == 7200.0


def test_a_setting_does_not_pass_the_one_that_bounds_it(stack: uinet.Stack) -> None:
    with pytest.raises(uinet.InvalidArgument, match=r"want 1 to 65535, and at most 60999, which is net\.inet"):
        stack.sysctl["net.inet.tcp.portrange.first"] = 61000
    stack.sysctl["net.inet.tcp.portrange.last"] = 65000
    stack.sysctl["net.inet.tcp.portrange.first"] = 61000
    with pytest.raises(uinet.InvalidArgument, match="at least 61000"):
        stack.sysctl["net.inet.tcp.portrange.last"] = 60999


def test_stacks_do_not_share_settings(stack: uinet.Stack) -> None:
    other = uinet.Stack(b"other")
    stack.sysctl["net.inet.tcp.sack.enable"] = False
    stack.sysctl["net.inet.tcp.passive.maxholes"] = 3
    assert other.sysctl["net.inet.tcp.sack.enable"] is True
    assert other.sysctl["net.inet.tcp.passive.maxholes"] == 16
    assert stack.tcp.settings.passive.limits.holes == 3


def test_a_secret_is_never_shown(stack: uinet.Stack) -> None:
    name = "net.inet6.ip6.stable_secret"
    stack.sysctl[name] = "00ff"
    assert stack.network.settings.stable_secret == b"\x00\xff"
    assert stack.sysctl[name] is True and "ff" not in str(stack.sysctl.describe(name)["value"])
    assert stack.sysctl.text(name) == "(set)"


def test_settings_of_interfaces_have_their_names_in_them(stack: uinet.Stack) -> None:
    stack.sysctl["net.interface.eth0.100.hop_limit"] = 9
    assert stack.interfaces[0].hop_limit == 9
    assert set(stack.sysctl.under("net.interface.eth0.100")) == {
        f"net.interface.eth0.100.{attribute}" for attribute in OF_INTERFACES
    }
    generation = stack.network.generation
    stack.sysctl["net.interface.eth0.100.up"] = "off"
    assert not stack.interfaces[0].up and stack.network.generation != generation
    with pytest.raises(uinet.InvalidArgument, match="it can only be read"):
        stack.sysctl["net.interface.eth0.100.mtu"] = 9000
    assert stack.sysctl["net.interface.eth0.100.mac"] == "02:00:00:00:00:01"


@pytest.mark.parametrize("name", [
    "", "net", "net.inet.tcp.sack", "net.interface.eth9.mtu", "net.interface.eth0.100.x", "x" * 999,
])
def test_a_name_that_is_none_is_told(name: str, stack: uinet.Stack) -> None:
    assert name not in stack.sysctl
    with pytest.raises(uinet.InvalidArgument, match="there is no setting"):
        stack.sysctl[name]


def test_names_are_a_tree(stack: uinet.Stack) -> None:
    assert stack.sysctl.under("net.inet.tcp.sack") == ["net.inet.tcp.sack.dsack", "net.inet.tcp.sack.enable"]
    assert stack.sysctl.under("net.inet.tcp.sac") == []
    assert list(stack.sysctl) == stack.sysctl.under("") and len(stack.sysctl) == len(list(stack.sysctl))


def test_limits_of_watching_are_refused_once_connections_are_watched(stack: uinet.Stack) -> None:
    stack.tcp.watching()
    with pytest.raises(uinet.InvalidArgument, match="too late"):
        stack.sysctl["net.inet.tcp.passive.maxholes"] = 3
    stack.sysctl["net.inet.tcp.passive.deadline"] = 1


def test_a_congestion_control_of_ones_own_is_shown_by_its_name(stack: uinet.Stack) -> None:
    class Mine(uinet.CongestionControl):
        pass

    stack.tcp.settings.congestion = Mine
    assert stack.sysctl["net.inet.tcp.cc.algorithm"] == "Mine"


def test_describing_tells_everything(stack: uinet.Stack) -> None:
    found = stack.sysctl.describe("net.inet.tcp.rexmit_min")
    assert found["value"] == found["default"] == 0.2 and found["text"] == "200ms" and found["rfc"] == "6298 2.4"
    assert found["range"] == "1ms to 1min, at most net.inet.tcp.rexmit_max, 1min"
    assert found["type"] == "duration" and found["writable"] and found["applies"] == "at once"
