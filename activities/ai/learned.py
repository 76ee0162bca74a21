"""Learning a hotel's articles takes seconds, so what was learned is kept for the next start of a process."""

import contextlib
import hashlib
import os
import pickle
from collections.abc import Sequence
from pathlib import Path

from activities.ai.hotel import Hotel
from activities.ai.knowledge import Article

_CODE = Path(__file__).parent


def learned(articles: Sequence[Article], folder: Path) -> Hotel:
    """The understanding of these articles: what this very code has learned of them before, or learned now and kept.

    The folder is the process's own data; nothing is read from it that another user could have put there.
    """
    kept = folder / f"{_fingerprint(articles)}.pickle"
    try:
        hotel = pickle.loads(kept.read_bytes())  # noqa: S301 - our own file, of our own data folder
        if isinstance(hotel, Hotel):
            return hotel
    except (OSError, EOFError, pickle.UnpicklingError):
        pass  # not there yet, or cut off: it is learned anew
    hotel = Hotel(list(articles))
    _keep(hotel, kept)
    return hotel


def _keep(hotel: Hotel, path: Path) -> None:
    """A folder that cannot be written costs only time at the next start."""
    new = path.with_suffix(f".{os.getpid()}.new")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new.write_bytes(pickle.dumps(hotel))
        new.replace(path)


def _fingerprint(articles: Sequence[Article]) -> str:
    """Changes with the articles and with everything that they are learned by."""
    digest = hashlib.sha256()
    for article in articles:  # as JSON, for a pickle holds sets in another order in each process
        digest.update(article.model_dump_json().encode())
    for path in sorted(each for each in _CODE.rglob("*") if each.suffix in (".py", ".yaml", ".json")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]
