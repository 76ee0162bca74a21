"""Presents an evaluation to people: as text for a terminal, and as a plot."""

from collections.abc import Iterator, Sequence
from html import escape

from activities.ai.evaluation import Evaluation

_SIZE, _MARGIN = 300, 46
_HEIGHT = _SIZE + 2 * _MARGIN
_WIDTH = 2 * _SIZE + 3 * _MARGIN
_BLUE, _RED, _GREY = "#2364aa", "#c1292e", "#8d99ae"

Point = tuple[float, float]


def as_text(evaluation: Evaluation) -> str:
    now = evaluation.at_threshold
    lines = [
        f"{len(evaluation.outcomes)} messages, threshold {now.threshold:.2f}",
        f"  right decision     {now.accuracy:6.1%}",
        f"  dangerous answers  {now.dangerous:6.1%}",
        f"  answered           {now.answered:6.1%}",
        f"  calibration error  {evaluation.ece:6.3f}",
        f"  milliseconds       {evaluation.seconds(0.5) * 1000:.2f} (p50), {evaluation.seconds(0.99) * 1000:.2f} (p99)",
        "",
        "Reliability: stated confidence against the share of right answers",
        "  confidence   messages   mean   right",
        *(
            f"  {each.low:.1f} to {each.high:.1f}   {each.count:8}   {each.confidence:.2f}    {each.right:.2f}"
            for each in evaluation.reliability
        ),
        "",
        "Trade-off of the threshold",
        "  threshold   answered   right   dangerous",
        *(
            f"  {each.threshold:9.2f}   {each.answered:8.1%}  {each.accuracy:6.1%}   {each.dangerous:9.1%}"
            for each in evaluation.tradeoffs
        ),
    ]
    return "\n".join(lines)


def as_svg(evaluation: Evaluation) -> str:
    """Two plots side by side: reliability, and the trade-off of the threshold."""
    parts = [*_reliability(evaluation, _MARGIN), *_tradeoff(evaluation, _SIZE + 2 * _MARGIN)]
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
            'font-size="11">',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
            *parts,
            "</svg>",
        )
    )


def _reliability(evaluation: Evaluation, left: int) -> Iterator[str]:
    yield from _axes(left, f"Reliability (ECE {evaluation.ece:.3f})", "confidence", "share right")
    yield _line(left, [(0, 0), (1, 1)], _GREY, dashes="4 4")
    for each in evaluation.reliability:
        width, height = (each.high - each.low) * _SIZE - 4, each.right * _SIZE
        x, y = left + each.low * _SIZE + 2, _MARGIN + _SIZE - height
        yield (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{_BLUE}" '
            f'fill-opacity="0.6"><title>{each.count} messages</title></rect>'
        )
    yield _line(left, [(each.confidence, each.right) for each in evaluation.reliability], _RED)


def _tradeoff(evaluation: Evaluation, left: int) -> Iterator[str]:
    yield from _axes(left, "Trade-off of the threshold", "threshold", "share of messages")
    tradeoffs = evaluation.tradeoffs
    yield _line(left, [(each.threshold, each.accuracy) for each in tradeoffs], _BLUE)
    yield _line(left, [(each.threshold, each.dangerous) for each in tradeoffs], _RED)
    yield _line(left, [(evaluation.threshold, 0), (evaluation.threshold, 1)], _GREY, dashes="4 4")
    yield _text(left + 8, _MARGIN + 16, "right decision", _BLUE)
    yield _text(left + 8, _MARGIN + 32, "dangerous answer", _RED)


def _axes(left: int, title: str, across: str, upwards: str) -> Iterator[str]:
    bottom = _MARGIN + _SIZE
    yield f'<rect x="{left}" y="{_MARGIN}" width="{_SIZE}" height="{_SIZE}" fill="none" stroke="{_GREY}"/>'
    yield _text(left, _MARGIN - 12, title, "black")
    yield _text(left + _SIZE // 2 - 30, bottom + 32, across, "black")
    yield _text(left, _MARGIN - 26, upwards, _GREY)
    for tenths in range(0, 11, 2):
        offset = tenths * _SIZE // 10
        yield _text(left + offset - 8, bottom + 16, f"{tenths / 10:.1f}", _GREY)
        yield _text(left - 24, bottom - offset + 4, f"{tenths / 10:.1f}", _GREY)


def _line(left: int, points: Sequence[Point], colour: str, dashes: str = "none") -> str:
    places = " ".join(f"{left + x * _SIZE:.1f},{_MARGIN + _SIZE - y * _SIZE:.1f}" for x, y in points)
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>'


def _text(x: float, y: float, text: str, colour: str) -> str:
    return f'<text x="{x}" y="{y}" fill="{colour}">{escape(text)}</text>'
