"""Policy files: what they may define, and the one line that tells what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from uinet import Verdict
from uinet.errors import InvalidArgument
from uinet.proxy.policy import Policy, PolicyError, verdict_of


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "policy.py"
    path.write_text(text)
    return path


def test_policy_with_decide_is_used_as_it_is(tmp_path: Path) -> None:
    policy = Policy.load(write(tmp_path, "import json\n\ndef decide(syn):\n    return 'bridge'\n"))
    assert policy.decide is not None
    assert policy.decide(None) == "bridge"
    assert not policy.rewrites
    assert not policy.needs_loop


def test_policy_with_async_functions_needs_a_loop(tmp_path: Path) -> None:
    assert Policy.load(write(tmp_path, "async def decide(syn): ...\n")).needs_loop
    policy = Policy.load(write(tmp_path, "async def client_to_server(reader, writer, connection): ...\n"))
    assert policy.rewrites
    assert policy.needs_loop
    assert policy.server_to_client is None


def test_policy_with_a_dataclass_under_future_annotations_loads(tmp_path: Path) -> None:
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass, field\n"
        "@dataclass\nclass Seen:\n    ports: list[int] = field(default_factory=list)\n"
        "seen = Seen()\ndef decide(syn):\n    seen.ports.append(syn)\n"
    )
    assert Policy.load(write(tmp_path, text)).decide is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def decide(syn)\n    pass\n", ":1: expected ':'"),
        ("x = 1\n\nx = nothing\n", ":3: NameError: name 'nothing' is not defined"),
        ("import no_such_module\n", ":1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def f():\n    raise ValueError('two\\nlines')\nf()\n", ":2: ValueError: two lines"),
        ("raise SystemExit(3)\n", ":1: SystemExit: 3"),
        ("", ": defines none of decide, tracked, codec, client_to_server, server_to_client"),
        ("decide = 7\n", ": decide is not a function"),
        ("\ndef decide():\n    pass\n", ":2: decide must take (syn)"),
        (
            "def client_to_server(reader, writer, connection): ...\n",
            ":1: client_to_server must be an `async def`",
        ),
        (
            "async def server_to_client(reader, writer): ...\n",
            ":1: server_to_client must take (reader, writer, connection)",
        ),
    ],
)
def test_policy_that_is_not_valid_is_one_line_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(PolicyError) as caught:
        Policy.load(path)
    assert isinstance(caught.value, InvalidArgument)
    assert str(caught.value) == f"{path}{says}"


def test_policy_that_is_not_there_or_not_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="No such file"):
        Policy.load(tmp_path / "missing.py")
    with pytest.raises(PolicyError, match="directory"):
        Policy.load(tmp_path)
    path = tmp_path / "binary.py"
    path.write_bytes(b"\0\xff\xfe")
    with pytest.raises(PolicyError) as caught:
        Policy.load(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_may_read_tracked_streams(tmp_path: Path) -> None:
    text = "def decide(syn):\n    return 'track'\n\ndef tracked(data, from_client, connection):\n    pass\n"
    policy = Policy.load(write(tmp_path, text))
    assert policy.tracked is not None and not policy.needs_loop and not policy.rewrites
    with pytest.raises(PolicyError, match=r"tracked must take \(data, from_client, connection\)"):
        Policy.load(write(tmp_path, "def tracked(data):\n    pass\n"))


@pytest.mark.parametrize("parameters", ["codec(connection)", "tracked(data, from_client, connection)"])
def test_function_whose_answer_nobody_waits_for_is_no_coroutine(tmp_path: Path, parameters: str) -> None:
    with pytest.raises(PolicyError, match=r":1: \w+ must be a plain `def`"):
        Policy.load(write(tmp_path, f"async def {parameters}:\n    pass\n"))


def test_describe_names_the_innermost_line_of_the_file(tmp_path: Path) -> None:
    text = "def decide(syn):\n    return helper()\n\ndef helper():\n    return int('x')\n"
    policy = Policy.load(write(tmp_path, text))
    assert policy.decide is not None
    with pytest.raises(ValueError) as caught:
        policy.decide(None)
    assert policy.describe(caught.value).startswith(f"{tmp_path}/policy.py:5: ValueError: invalid literal")


@pytest.mark.parametrize(
    ("decision", "verdict"),
    [
        (None, Verdict.ACCEPT),
        ("proxy", Verdict.ACCEPT),
        ("bridge", Verdict.BRIDGE),
        ("reset", Verdict.REJECT_RST),
        ("drop", Verdict.REJECT_SILENT),
        (Verdict.REJECT_RST, Verdict.REJECT_RST),
        (Verdict.ACCEPT_PASSIVE, Verdict.ACCEPT_PASSIVE),
        ("pass", Verdict.BRIDGE),
        ("track", Verdict.ACCEPT_PASSIVE),
        ("hold", Verdict.DEFER),
        ("intercept", Verdict.ACCEPT),
    ],
)
def test_verdict_of_a_decision(decision: object, verdict: Verdict) -> None:
    assert verdict_of(decision) is verdict


@pytest.mark.parametrize("decision", ["PROXY", "", 1, True, [], Verdict.DEFER])
def test_verdict_of_nonsense_is_an_error_that_says_what_is_wanted(decision: object) -> None:
    with pytest.raises(PolicyError):
        verdict_of(decision)
