"""`python -m tests.replay.record [NAME ...]` plays all scenes, or those named, anew and stores their histories."""

import sys
from pathlib import Path

import pytest

from tests.replay.store import HISTORIES, SCENES, kept


def main(names: list[str]) -> int:
    if not names:
        for path in kept(HISTORIES):
            path.unlink()
    chosen = ["-k", " or ".join(names)] if names else []
    failed = pytest.main([*map(str, SCENES), "--quiet", "--durations=3", *chosen])
    size = sum(path.stat().st_size for path in kept(HISTORIES))
    sys.stdout.write(
        f"{len(kept(HISTORIES))} histories, {size / 1024:.0f} KiB, in {HISTORIES.relative_to(Path.cwd())}\n"
    )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
