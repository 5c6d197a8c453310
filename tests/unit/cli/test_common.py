"""What commands share."""

from __future__ import annotations

import io
import json
import sys

import pytest

from uinet.cli.common import print_json


def test_a_record_and_the_end_of_its_line_are_written_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers write to one file: what comes in two writes (an unbuffered stream's) may have another's between them."""
    written: list[bytes] = []

    class Raw(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            written.append(bytes(data))  # type: ignore[call-overload]
            return len(written[-1])

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Raw(), write_through=True))  # type: ignore[arg-type]
    print_json({"serial": 1})
    print_json({"serial": 2})
    assert [json.loads(line) for line in written] == [{"serial": 1}, {"serial": 2}]
    assert all(line.endswith(b"\n") for line in written)
