"""Caches on disk what was learned from a hotel's articles, because learning takes seconds at each start."""

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
    """Loads what this version of the code has learned from these articles before, or learns and saves it now.

    The folder must belong to the process: pickles in it that another user could have written would be unsafe.
    """
    kept = folder / f"{_fingerprint(articles)}.pickle"
    try:
        hotel = pickle.loads(kept.read_bytes())  # noqa: S301 - our own file, of our own data folder
        if isinstance(hotel, Hotel):
            return hotel
    except (OSError, EOFError, pickle.UnpicklingError):
        pass  # missing or truncated: learn it again
    hotel = Hotel(list(articles))
    _keep(hotel, kept)
    return hotel


def _keep(hotel: Hotel, path: Path) -> None:
    """Saves it if it can: a folder that cannot be written costs only time at the next start."""
    new = path.with_suffix(f".{os.getpid()}.new")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new.write_bytes(pickle.dumps(hotel))
        new.replace(path)


def _fingerprint(articles: Sequence[Article]) -> str:
    """A hash that changes with the articles, and with the code and data that learn them."""
    digest = hashlib.sha256()
    for article in articles:  # as JSON, because a pickle's order of sets differs between processes
        digest.update(article.model_dump_json().encode())
    for path in sorted(each for each in _CODE.rglob("*") if each.suffix in (".py", ".yaml", ".json")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]
