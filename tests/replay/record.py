"""`python -m tests.replay.record [NAME ...]` plays all scenes, or those named, anew and stores their histories."""

import sys
from pathlib import Path

import pytest

from tests.replay.store import HISTORIES, kept


def main(names: list[str]) -> int:
    if not names:
        for path in kept():
            path.unlink()
    chosen = ["-k", " or ".join(names)] if names else []
    scenes = Path(__file__).with_name("scenes.py")
    failed = pytest.main([str(scenes), "--quiet", "--durations=3", *chosen])
    size = sum(path.stat().st_size for path in kept())
    sys.stdout.write(f"{len(kept())} histories, {size / 1024:.0f} KiB, in {HISTORIES.relative_to(Path.cwd())}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
