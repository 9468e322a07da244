"""Plots as SVG text, for pages and repositories, without a plotting library."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

GRID, INK = "#e5e7eb", "#374151"

COLORS = ("#2f6fde", "#e07b1a", "#1a9e55", "#8a5cd1", "#6b7280", "#c2334d", "#0e8f9c", "#a67c00")


@dataclass(frozen=True)
class PlotAxes:
    """The axes of a plot, and the mapping from numbers to pixels.

    Attributes:
        x, y: lowest and highest number. log: whether x is logarithmic.
        size: (width, height) of the picture in pixels.
        margins: left, top, right, bottom.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    log: bool = False
    size: tuple[int, int] = (760, 380)
    margins: tuple[int, int, int, int] = (56, 14, 16, 46)

    def across(self, value: float) -> float:
        """Pixels from the left."""
        low, high = np.log(self.x) if self.log else self.x
        at = np.log(max(value, 1e-12)) if self.log else value
        return float(self.margins[0] + (at - low) / (high - low) * (self.size[0] - self.margins[0] - self.margins[2]))

    def up(self, value: float) -> float:
        """Pixels from the top."""
        low, high = self.y
        bottom = self.size[1] - self.margins[3]
        return float(bottom - (value - low) / (high - low) * (bottom - self.margins[1]))

    def lines(
        self,
        y: Sequence[float],
        x: Sequence[float] = (),
        name: Callable[[float], str] = "{:g}".format,
        label: str = "",
        title: str = "",
    ) -> str:
        """Horizontal grid lines at some y and tick labels at some x; `label` describes x, `title` describes y."""
        (width, height), left, bottom = self.size, self.margins[0], self.size[1] - self.margins[3]
        shapes = []
        for value in y:
            at = self.up(value)
            shapes.append(f'<path d="M{left} {at:.1f}H{width - self.margins[2]}" stroke="{GRID}"/>')
            shapes.append(text(left - 8, at + 4, name(value), "end"))
        shapes += [text(self.across(value), bottom + 18, f"{value:g}", "middle") for value in x]
        shapes.append(text(width - self.margins[2], height - 8, label, "end"))
        shapes.append(text(left, height - 8, title))
        return "".join(shapes)

    def line(self, points: Sequence[tuple[float, float]], color: str, dashed: bool = False) -> str:
        """A line through points."""
        path = " ".join(f"{self.across(x):.1f},{self.up(y):.1f}" for x, y in points)
        dashes = ' stroke-dasharray="5 4"' * dashed
        return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"{dashes}/>'

    def dot(self, x: float, y: float, color: str, radius: float = 4, opacity: float = 1) -> str:
        """A point."""
        place = f'cx="{self.across(x):.1f}" cy="{self.up(y):.1f}" r="{radius:g}"'
        return f'<circle {place} fill="{color}" fill-opacity="{opacity:g}"/>'

    def picture(self, shapes: Sequence[str]) -> str:
        """The SVG."""
        return svg(self.size, shapes)


def ticks(most: float) -> list[float]:
    """Round numbers from 0 up to `most`, about five to ten of them."""
    step = 10 ** np.floor(np.log10(most))
    step = float(step / 5 if most / step < 2 else step / 2 if most / step < 5 else step)
    return [n * step for n in range(int(most / step + 1e-9) + 1)]


def text(x: float, y: float, words: str, anchor: str = "start") -> str:
    """Text at a position."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def svg(size: tuple[int, int], shapes: Sequence[str]) -> str:
    """The complete picture, on white."""
    width, height = size
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<style>text {{ font: 12px system-ui, sans-serif; fill: {INK} }}</style>"
        f'<rect width="{width}" height="{height}" fill="white"/>{"".join(shapes)}</svg>\n'
    )
