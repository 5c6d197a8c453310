"""Records as a table: one row for each connection, in a Parquet file.

Columns have the names of the JSON record, those of a side with ``client_`` or ``server_`` before them. Types are those
that DuckDB, pandas, Polars and Spark read without being asked: numbers are signed (Spark makes decimals of unsigned
64-bit ones, and of ports), digests are text as ``sha256sum`` prints it, times are microseconds UTC, as Spark knows no
others, with the exact nanoseconds beside them.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from uinet.errors import InvalidArgument
from uinet.following.records import EXACT, SIDES, Record
from uinet.passive.half import COUNTERS
from uinet.version import __version__

NEEDS = "a Parquet file needs the package pyarrow: pip install 'uinet[parquet]'"
GROUP = 65_536  # rows of a row group
BATCH = 4096  # rows that are Python objects at a time
MOST_HOLES = 1 << 20  # that wait for their row group


class ParquetFile:
    """Writes exact records into the file `path`, which appears when `complete` is called, all of it at once.

    `facts`: what the file's metadata say of how it was made. Until it is complete the file is called ``.NAME.PID.part``
    and lies beside; `discard` removes it. In memory is at most one row group. InvalidArgument if pyarrow is missing;
    OSError with the file's name.
    """

    def __init__(self, path: Path, facts: dict[str, Any] | None = None) -> None:
        self.path = path
        self.rows = 0
        self._arrow, self._parquet = arrow()
        self._columns = columns(self._arrow)
        self._schema = self._arrow.schema(
            [self._arrow.field(name, kind) for name, kind in self._columns],
            metadata={"uinet.version": __version__, "uinet.options": json.dumps(facts or {})},
        )
        self._waiting: list[Record] = []
        self._batches: list[Any] = []
        self._batched = 0
        self._holes = 0
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        with self._named():
            if path.is_dir():
                raise IsADirectoryError(None, "is a directory")
            descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._file = os.fdopen(descriptor, "wb")
        self._writer = self._parquet.ParquetWriter(self._file, self._schema, compression="zstd")

    def add(self, found: Record) -> None:
        """One connection."""
        self._waiting.append(found)
        self._holes += len(found["client"]["holes"]) + len(found["server"]["holes"])
        self.rows += 1
        if len(self._waiting) >= BATCH or self._holes >= MOST_HOLES:
            self._batch()
        if self._batched >= GROUP or self._holes >= MOST_HOLES:
            self._group()

    def complete(self, error: str = "") -> None:
        """The file is whole, and gets its name. `error`: why it does not say everything that it should."""
        with self._named():
            self._batch()
            self._group()
            if error:
                self._writer.add_key_value_metadata({"uinet.error": error})
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._part, self.path)

    def discard(self) -> None:
        """Removes the file if it is not complete."""
        if not self._file.closed:
            with contextlib.suppress(OSError):  # a full disk is known by now
                self._writer.close()
            with contextlib.suppress(OSError):
                self._file.close()
        self._part.unlink(missing_ok=True)

    def _batch(self) -> None:
        """Makes columns of the records that wait."""
        if self._waiting:
            values = [row(found) for found in self._waiting]
            arrays = [
                self._arrow.array(column, kind)
                for column, (_, kind) in zip(zip(*values, strict=True), self._columns, strict=True)
            ]
            self._batches.append(self._arrow.record_batch(arrays, schema=self._schema))
            self._batched += len(self._waiting)
            self._waiting.clear()

    def _group(self) -> None:
        """Writes a row group."""
        if self._batches:
            with self._named():
                table = self._arrow.Table.from_batches(self._batches, self._schema)
                self._writer.write_table(table, row_group_size=GROUP)
            self._batches.clear()
            self._batched = self._holes = 0

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Errors within say which file they are about."""
        try:
            yield
        except OSError as error:
            error.filename = str(self.path)
            raise


def arrow() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet; InvalidArgument, one line, if they are missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InvalidArgument(NEEDS) from None
    return pyarrow, pyarrow.parquet


def columns(pa: Any) -> list[tuple[str, Any]]:
    """Name and type of every column."""
    word = pa.dictionary(pa.int8(), pa.string())
    hole = pa.struct([("offset", pa.int64()), ("length", pa.int64()), ("reason", pa.string())])
    found = [
        ("serial", pa.int64()),
        ("vlans", pa.list_(pa.uint16())),
        ("start", pa.timestamp("us", "UTC")),
        ("end", pa.timestamp("us", "UTC")),
        ("start_ns", pa.int64()),
        ("end_ns", pa.int64()),
        ("close", word),
        ("midstream", pa.bool_()),
        ("notes", pa.list_(pa.string())),
    ]
    for side in SIDES:
        found += [
            (f"{side}_ip", pa.string()),
            (f"{side}_port", pa.uint16()),
            (f"{side}_mac", pa.string()),
            (f"{side}_bytes", pa.int64()),
            (f"{side}_sha256", pa.string()),
            (f"{side}_holes", pa.list_(hole)),
            (f"{side}_hole_bytes", pa.int64()),
            (f"{side}_hole_count", pa.int64()),
            (f"{side}_packets", pa.int64()),
            (f"{side}_fin", pa.bool_()),
            *((f"{side}_{name}", pa.int64()) for name in COUNTERS),
            (f"{side}_file", pa.string()),
        ]
    return found


def row(found: Record) -> list[Any]:
    """The values of an exact record, in the order of the columns. Counters that the record leaves out are 0."""
    exact = found[EXACT]
    values = [
        found["serial"], found["vlans"], exact["start"] // 1000, exact["end"] // 1000, exact["start"], exact["end"],
        found["close"], found["midstream"], found.get("notes", []),
    ]
    for side in SIDES:
        told = found[side]
        holes = [{"offset": offset, "length": length, "reason": reason} for offset, length, reason in told["holes"]]
        values += [told["ip"], told["port"], told["mac"], told["bytes"], told["sha256"], holes, *exact[side]]
        values += [told.get(name, 0) for name in COUNTERS]
        values.append(told.get("file"))
    return values
