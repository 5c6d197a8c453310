"""A plot in characters: 2 x 4 dots in each, by Unicode's Braille patterns."""

from __future__ import annotations

from rich.text import Text

BLANK = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column of a cell


class Canvas:
    """`width` x `height` characters. A cell has the colour of what was drawn there last."""

    def __init__(self, width: int, height: int) -> None:
        self.width = max(1, width)
        self.height = max(1, height)
        self.cells = [[0] * self.width for _ in range(self.height)]
        self.styles = [[""] * self.width for _ in range(self.height)]

    def dot(self, x: float, y: float, style: str = "") -> None:
        """A dot at `x`, `y` of the plot, each 0 to 1 from its left and lower edge; outside of it nothing."""
        if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
            return
        column = min(int(x * self.width * 2), self.width * 2 - 1)
        row = min(int((1.0 - y) * self.height * 4), self.height * 4 - 1)
        self.cells[row // 4][column // 2] |= DOTS[row % 4][column % 2]
        self.styles[row // 4][column // 2] = style

    def line(self, start: tuple[float, float], end: tuple[float, float], style: str = "") -> None:
        """A line between two points."""
        steps = max(
            1, int(abs(end[0] - start[0]) * self.width * 2), int(abs(end[1] - start[1]) * self.height * 4)
        )
        for step in range(steps + 1):
            share = step / steps
            self.dot(start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share, style)

    def rows(self) -> list[Text]:
        """The plot, a line each, from the top."""
        found = []
        for cells, styles in zip(self.cells, self.styles, strict=True):
            line = Text()
            for bits, style in zip(cells, styles, strict=True):
                line.append(chr(BLANK | bits) if bits else " ", style)
            found.append(line)
        return found
