"""The bench's table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A measured figure with its baseline and target."""

    name: str
    product: str
    baseline: str
    value: str
    target: str
    reached: bool | None

    @classmethod
    def ratio(
        cls,
        name: str,
        product: float,
        baseline: float,
        unit: str,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> "Line":
        scale = 1000 if unit == "ms" else 1
        ratio = product / baseline
        target, reached = "", None
        if at_most is not None:
            target, reached = f"<= {at_most:g}", ratio <= at_most
        if at_least is not None:
            target, reached = f">= {at_least:g}", ratio >= at_least
        return cls(
            name, f"{product * scale:.1f} {unit}", f"{baseline * scale:.1f} {unit}", f"{ratio:.2f}x", target, reached
        )

    @classmethod
    def figure(cls, name: str, value: float, at_most: float) -> "Line":
        return cls(name, f"{value:.1f}", "", "", f"<= {at_most:g}", value <= at_most)


_WORDS = {True: "ok", False: "MISSED", None: ""}


def report(lines: list[Line]) -> str:
    rows = [("", "product", "bare", "ratio", "target", "")]
    rows += [(each.name, each.product, each.baseline, each.value, each.target, _WORDS[each.reached]) for each in lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in cells)
