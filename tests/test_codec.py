"""Payloads as they stand in Temporal: what was written once is read for ever."""

import hashlib
import json
from pathlib import Path

import pytest
from temporalio.api.common.v1 import Payload

import workflows.codec
from workflows.codec import ENCODING, EncryptingCodec

KEY = b"a test key of thirty-two bytes!!"
DICTIONARIES = {
    "codec_dictionary.json": "1e5647e40d4e399f7255d236a912537694b99828c5aafb678f830dd131fd4fcf",
    "codec_dictionary_2.jsonl": "6c64b54314156f96ba9e2cba948a12f6d7ebcfe7302c97be9642ec715e3448c5",
}


@pytest.mark.parametrize("name", DICTIONARIES)
def test_a_dictionary_never_changes(name: str) -> None:
    """What was written with it could not be read any more; a better one gets a name of its own."""
    content = Path(workflows.codec.__file__).with_name(name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == DICTIONARIES[name]


async def test_a_payload_comes_back_as_it_was_and_is_closed_on_the_way() -> None:
    codec = EncryptingCodec({"test": KEY}, "test")
    told: dict[str, object] = {"content": "The key of room 4711 is lost", "attachments": [], "guestName": None}
    payload = Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(told).encode())
    sealed, again = await codec.encode([payload, payload])
    assert sealed.metadata["encoding"] == ENCODING
    assert b"4711" not in sealed.SerializeToString()
    assert sealed.data != again.data, "under a nonce of its own each time"
    assert await codec.decode([sealed, again]) == [payload, payload]
    with pytest.raises(ValueError, match=r"'other'.*temporal\.codecKeys"):
        await codec.decode([Payload(metadata={**sealed.metadata, "key": b"other"}, data=sealed.data)])
