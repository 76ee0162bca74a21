"""Groups similar unanswered questions. Pure."""

from collections.abc import Sequence

from rapidfuzz import fuzz, process, utils

from contracts.knowledge import Gap, GapQuestion

ALIKE = 75
"""Minimum similarity, out of 100, of a question to a group's first one."""
SHOWN = 20
"""How many questions of a gap are listed."""


def grouped(questions: Sequence[GapQuestion]) -> list[Gap]:
    """Gaps, most frequent first. A question joins the group whose first question is most similar."""
    groups: list[list[GapQuestion]] = []
    heads: list[str] = []
    for question in questions:
        text = utils.default_process(question.text)
        found = process.extractOne(text, heads, scorer=fuzz.token_set_ratio, score_cutoff=ALIKE)
        if found is None:
            heads.append(text)
            groups.append([question])
        else:
            groups[found[2]].append(question)
    gaps = [Gap(count=len(group), questions=group[:SHOWN]) for group in groups]
    return sorted(gaps, key=lambda gap: -gap.count)
