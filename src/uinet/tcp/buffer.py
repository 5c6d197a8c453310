"""A queue of bytes: the send buffer, the receive buffer and each island of out-of-order data.

Small pieces are copied into blocks of 16 KiB, so that a peer that sends a byte at a time can't make the stack keep an
object for each; large ones are kept by reference, so that bulk data is not copied here at all. So is a piece that has
the queue to itself, as a request or an answer often has: that is one object, and smaller than a block.
"""

from __future__ import annotations

from uinet.wire.kernels import store_bytes, take

BLOCK = 16384
SMALL_BLOCK = 512
BY_REFERENCE = 4096  # pieces at least this long are referred to, not copied, if they are half of the whole or more
BESIDE = 256  # bytes of the whole, headers mostly, that a smaller piece may keep alive if it is alone


class Block:
    """Bytes `start` to `end` of `buffer`. `room`: size of a buffer of ours that may grow at its end, else 0."""

    def __init__(self, buffer: bytes | bytearray, start: int, end: int, room: int) -> None:
        self.buffer = buffer
        self.start = start
        self.end = end
        self.room = room


def new_block(buffer: bytes | bytearray, start: int, end: int, room: int) -> Block:
    """A Block, made without a call of its class: there is one for every piece that is kept."""
    block = Block.__new__(Block)
    block.buffer = buffer
    block.start = start
    block.end = end
    block.room = room
    return block


class ByteQueue:
    """Bytes in order. Positions count from the queue's head.

    `length`: bytes held. After `locate`, `source` (bytes or bytearray) holds the wanted bytes at `source_offset`.
    """

    def __init__(self) -> None:
        self.length = 0
        self.blocks: list[Block] = []
        self.first = 0  # index of the head block; those before it are spent
        self.cursor = 0  # index of the block of the last locate
        self.cursor_position = 0  # position of that block's first byte
        self.source: bytes | bytearray = b""
        self.source_offset = 0

    def append(self, data: bytes | bytearray, offset: int, length: int) -> None:
        """Adds `length` bytes of `data` (bytes; or a bytearray, which is always copied) at `offset`."""
        if length <= 0:
            return
        if isinstance(data, bytes) and self._may_refer(len(data), length):
            self.blocks.append(new_block(data, offset, offset + length, 0))
            self.length += length
            return
        while length > 0:
            block = self._growing(length)
            count = block.room - block.end
            if count > length:
                count = length
            store_bytes(block.buffer, block.end, data, offset, count)  # type: ignore[arg-type]
            block.end += count
            self.length += count
            offset += count
            length -= count

    def _may_refer(self, whole: int, length: int) -> bool:
        """Whether `length` bytes of an object of `whole` are worth keeping the object, rather than a copy of them."""
        if length >= BY_REFERENCE:
            return 2 * length >= whole
        return self.length == 0 and whole - length <= BESIDE

    def _growing(self, wanted: int) -> Block:
        """The last block if there is room in it, else a new one."""
        if len(self.blocks) > self.first:
            block = self.blocks[len(self.blocks) - 1]
            if block.end < block.room:
                return block
        # not much larger than what it is for and what is held already: a queue may stay small, and there may be many
        size = SMALL_BLOCK
        while size < BLOCK and size < 2 * wanted + self.length:
            size *= 2
        block = new_block(bytearray(size), 0, 0, size)
        self.blocks.append(block)
        return block

    def drop(self, count: int) -> None:
        """Forgets the first `count` bytes (at most `length`)."""
        self.length -= count
        while count > 0:
            block = self.blocks[self.first]
            held = block.end - block.start
            if count < held:
                block.start += count
                self.cursor = self.first
                self.cursor_position = 0
                return
            count -= held
            self.first += 1
        self._tidy()

    def _tidy(self) -> None:
        """Lets go of the spent blocks, now and then."""
        if self.length == 0:
            self.blocks = []
            self.first = 0
            self.source = b""
        elif self.first >= 64:
            del self.blocks[: self.first]
            self.first = 0
        self.cursor = self.first
        self.cursor_position = 0

    def locate(self, position: int, length: int) -> None:
        """Makes `length` bytes (> 0) at `position` contiguous in `source` at `source_offset`."""
        if self.cursor < self.first or position < self.cursor_position:
            self.cursor = self.first
            self.cursor_position = 0
        block = self.blocks[self.cursor]
        while position >= self.cursor_position + block.end - block.start:
            self.cursor_position += block.end - block.start
            self.cursor += 1
            block = self.blocks[self.cursor]
        skip = position - self.cursor_position
        if block.end - block.start - skip >= length:
            self.source = block.buffer
            self.source_offset = block.start + skip
            return
        self.source = self._copy(self.cursor, skip, length)
        self.source_offset = 0

    def pieces(self, position: int, length: int) -> list[memoryview]:
        """The `length` bytes (> 0) at `position`, by reference: views that stay as they are while the bytes are held
        and after."""
        if self.cursor < self.first or position < self.cursor_position:
            self.cursor = self.first
            self.cursor_position = 0
        found = []
        index = self.cursor
        before = self.cursor_position
        while length > 0:
            block = self.blocks[index]
            held = block.end - block.start
            if position >= before + held:
                before += held
                index += 1
                continue
            self.cursor = index
            self.cursor_position = before
            start = block.start + position - before
            count = block.end - start
            if count > length:
                count = length
            found.append(memoryview(block.buffer)[start : start + count])
            position += count
            length -= count
        return found

    def _copy(self, index: int, skip: int, length: int) -> bytes:
        """A copy of `length` bytes, `skip` bytes into the block at `index`."""
        pieces = []
        while length > 0:
            block = self.blocks[index]
            count = block.end - block.start - skip
            if count > length:
                count = length
            pieces.append(take(block.buffer, block.start + skip, count))
            length -= count
            skip = 0
            index += 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read(self, limit: int) -> bytes:
        """Takes out at most `limit` bytes."""
        if limit > self.length:
            limit = self.length
        if limit <= 0:
            return b""
        data = self._copy(self.first, 0, limit)
        self.drop(limit)
        return data

    def read_piece(self, limit: int) -> bytes:
        """As `read`, but of large pieces only the first: nothing is put together that somebody can take apart."""
        if self.length:
            block = self.blocks[self.first]
            held = block.end - block.start
            if held >= BY_REFERENCE and held < limit:
                limit = held
        return self.read(limit)

    def read_into(self, target: memoryview) -> int:
        """Takes out as many bytes as `target` (bytes, writable) holds, at most; how many."""
        done = 0
        wanted = min(len(target), self.length)
        while done < wanted:
            block = self.blocks[self.first]
            count = min(block.end - block.start, wanted - done)
            target[done : done + count] = memoryview(block.buffer)[block.start : block.start + count]
            self.drop(count)
            done += count
        return done

    def move(self, other: ByteQueue, count: int) -> None:
        """Moves the first `count` bytes (at most `length`) to the end of `other`, whole blocks by reference."""
        while count > 0:
            block = self.blocks[self.first]
            held = block.end - block.start
            if held <= count and (held >= 1024 or block.room == 0 or other.length == 0):
                # a block of ours is closed when it moves: its new owner may hold on to it while we start another
                block.room = 0
                self.first += 1
                self.length -= held
                other.blocks.append(block)
                other.length += held
                count -= held
            else:
                if held > count:
                    held = count
                other.append(block.buffer, block.start, held)
                self.drop(held)
                count -= held
        self._tidy()

    def clear(self) -> None:
        """Forgets everything."""
        self.blocks = []
        self.first = 0
        self.length = 0
        self.cursor = 0
        self.cursor_position = 0
        self.source = b""
