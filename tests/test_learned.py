"""What was learned of a hotel's articles is kept for the next process, and for these articles alone."""

import subprocess
import sys
from pathlib import Path

import activities.ai
from activities.ai.hotel import Hotel
from activities.ai.knowledge import Article
from activities.ai.learned import learned

ROOT = Path(activities.ai.__file__).parent.parent.parent
ARTICLES = [Article(id="pool", title="Pool", names=["pool"], questions=["Is the pool heated?"], text="It is heated.")]
LEARN = """
import sys
from pathlib import Path
from tests.test_learned import ARTICLES
from activities.ai.learned import learned
learned(ARTICLES, Path(sys.argv[1]))
"""


def _kept(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_another_process_reads_what_this_one_has_learned(tmp_path: Path) -> None:
    assert isinstance(learned(ARTICLES, tmp_path), Hotel)
    kept = _kept(tmp_path)
    for seed in ("1", "2"):  # sets have another order in each process
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", LEARN, str(tmp_path)], env=environment, check=True)
    assert _kept(tmp_path) == kept
    assert len(kept) == 1


def test_other_articles_are_learned_anew(tmp_path: Path) -> None:
    learned(ARTICLES, tmp_path)
    learned([ARTICLES[0].model_copy(update={"text": "It is not heated."})], tmp_path)
    assert len(_kept(tmp_path)) == 2


def test_what_is_cut_off_or_cannot_be_kept_is_learned_anew(tmp_path: Path) -> None:
    learned(ARTICLES, tmp_path)
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert isinstance(learned(ARTICLES, tmp_path), Hotel)
    assert path.stat().st_size > len(whole) // 2
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    assert isinstance(learned(ARTICLES, blocked), Hotel)
