"""The folders tell the architecture: what may import what."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = (
    "activities",
    "api",
    "bench",
    "cli",
    "console",
    "contracts",
    "embedded",
    "settings",
    "tests",
    "worker",
    "workflows",
)

# Each module or package, most particular first, and the prefixes of ours that it may import.
ALLOWED: list[tuple[str, tuple[str, ...]]] = [
    ("contracts", ("contracts",)),
    ("settings", ("contracts", "settings")),
    ("workflows.hours", ("contracts",)),
    ("workflows.editions", ()),
    ("workflows.topics", ("contracts", "workflows.editions")),
    ("workflows.asking_for_a_person", ("contracts", "workflows.editions")),
    ("workflows.figures", ("contracts",)),
    ("workflows.owed", ("contracts", "workflows.hours")),
    ("workflows.cutting", ("contracts",)),
    (
        "workflows.record",
        ("contracts", "workflows.cutting", "workflows.editions", "workflows.figures", "workflows.owed"),
    ),
    (
        "workflows.policy",
        ("contracts", "workflows.asking_for_a_person", "workflows.owed", "workflows.record", "workflows.topics"),
    ),
    ("workflows.ratings", ()),
    ("workflows.surveys", ("contracts", "workflows.policy", "workflows.ratings", "workflows.record")),
    (
        "workflows.promises",
        (
            "contracts",
            "workflows.editions",
            "workflows.hours",
            "workflows.owed",
            "workflows.policy",
            "workflows.record",
            "workflows.surveys",
        ),
    ),
    (
        "workflows.transitions",
        (
            "contracts",
            "workflows.editions",
            "workflows.hours",
            "workflows.owed",
            "workflows.policy",
            "workflows.promises",
            "workflows.record",
            "workflows.surveys",
            "workflows.topics",
            "workflows.transitions",
        ),
    ),
    ("workflows.task_policy", ("contracts",)),
    ("workflows.details", ("contracts", "workflows.promises", "workflows.record")),
    ("workflows.search", ("contracts",)),
    ("workflows.waiting", ("contracts",)),
    ("workflows.sandbox", ()),
    ("workflows.rules", ("contracts", "settings", "workflows.editions")),
    ("workflows.calls", ("contracts",)),
    ("workflows.codec", ("contracts", "settings")),
    ("workflows.connection", ("contracts", "settings", "workflows.codec")),
    ("workflows.drain", ("contracts", "activities.turns", "workflows")),
    ("workflows.turn", ("contracts", "activities.turns", "workflows")),
    ("workflows.follow_up", ("contracts", "activities.turns", "workflows")),
    ("workflows.timekeeper", ("contracts", "workflows")),
    ("workflows.conversation", ("contracts", "activities.turns", "workflows")),
    ("workflows.task", ("contracts", "activities.tasks", "workflows")),
    ("workflows.task_client", ("contracts", "settings", "workflows")),
    ("workflows.media", ("contracts", "activities.media.fetching")),
    ("workflows.media_client", ("contracts", "workflows")),
    ("workflows.webhook_delivery", ("activities.webhooks.sending", "contracts", "workflows.waiting")),
    ("workflows.automation", ("activities.automations.acting", "contracts", "workflows.waiting")),
    ("workflows.automation_policy", ("contracts",)),
    ("workflows.automation_client", ("contracts", "settings", "workflows")),
    ("workflows.webhook_client", ("contracts", "settings", "workflows")),
    ("workflows.deployment", ("contracts", "workflows.calls")),
    ("workflows.executions", ("contracts", "workflows.calls")),
    ("workflows.client", ("contracts", "settings", "workflows")),
    ("activities", ("activities", "contracts", "settings")),
    (
        "api",
        (
            "api",
            "workflows.automation_client",
            "workflows.client",
            "workflows.connection",
            "workflows.executions",
            "workflows.media_client",
            "workflows.task_client",
            "workflows.webhook_client",
            "activities.storage",
            "activities.channels",
            "activities.hotel",
            "activities.media",
            "activities.webhooks",
            "contracts",
            "settings",
        ),
    ),
    ("console", ("contracts", "settings")),
    ("bench", ROOMS),
    ("cli", ROOMS),
    ("embedded", ROOMS),
    ("tests", ROOMS),
    ("worker", ROOMS),
]
IMPORT_API = ("api", "bench", "cli", "embedded", "tests", "worker")


def test_no_module_imports_against_the_direction() -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, imported in _imports()
        if not _begins_with(imported, _allowed(module))
        or (_begins_with(imported, ("api",)) and not _begins_with(module, IMPORT_API))
    ]
    assert wrong == []


def test_a_wrong_arrow_would_be_seen() -> None:
    assert not _begins_with("workflows.conversation", _allowed("contracts.messages"))
    assert not _begins_with("activities.ai.embedded", _allowed("workflows.conversation"))
    assert not _begins_with("settings", _allowed("workflows.conversation"))
    assert not _begins_with("activities.ai", _allowed("api.conversations"))


def test_policy_knows_nothing_of_temporal() -> None:
    workflows = ROOT / "workflows"
    pure = (
        "automation_policy",
        "details",
        "figures",
        "hours",
        "owed",
        "policy",
        "promises",
        "record",
        "task_policy",
        "topics",
    )
    for path in (*(workflows / f"{name}.py" for name in pure), *(workflows / "transitions").glob("*.py")):
        assert "temporalio" not in path.read_text().replace("no temporalio", "")


def _allowed(module: str) -> tuple[str, ...]:
    return next(allowed for prefix, allowed in ALLOWED if _begins_with(module, (prefix,)))


def _begins_with(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


def _imports() -> Iterator[tuple[str, str]]:
    """Every import of ours at run time; those for types alone are no arrows."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] not in ROOMS:
            continue
        module = ".".join(part for part in parts if part != "__init__")
        for node in _at_run_time(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((module, name) for name in names if name.split(".")[0] in ROOMS)


def _at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _at_run_time(node)
