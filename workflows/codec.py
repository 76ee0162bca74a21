"""The payload codec: pydantic JSON, compressed and encrypted, so that Temporal stores no guest text in the clear.

Summaries and current details, which operators read in the Temporal UI, contain no guest text and stay readable.
"""

import base64
import binascii
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)

from contracts.clear_text import ClearText
from settings import SettingsError, Temporal

NONCE_BYTES = 12
_CLEAR = "gateway-clear"
_DETAILS_TYPE = b"temporal.api.sdk.v1.WorkflowMetadata"
_JSON_HEAD: Final = b"\n\x16\n\x08encoding\x12\njson/plain\x12"
"""The first bytes of every serialised JSON payload, before its length."""


def _shapes(name: str) -> bytes:
    lines = Path(__file__).with_name(name).read_bytes().splitlines()
    return b"".join(_JSON_HEAD + line for line in lines)


# Payloads are small and alike: a compression dictionary shrinks them to a quarter, and history is billed by the byte.
# It is part of the encoding: never change one, add another under a new name, with the most frequent patterns last.
_DICTIONARIES: Final = {
    b"binary/gateway": Path(__file__).with_name("codec_dictionary.json").read_bytes(),
    b"binary/gateway-2": _shapes("codec_dictionary_2.jsonl"),
}
ENCODING: Final = b"binary/gateway-2"
"""The encoding that is written. All encodings can be read."""
_PRESS: Final = zlib.compressobj(9, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY, _DICTIONARIES[ENCODING])
"""Copied for each payload, which is quicker than loading the dictionary again."""
_CONVERTERS: Final = tuple(PydanticPayloadConverter().converters.values())


class GatewayPayloadConverter(CompositePayloadConverter):
    """Pydantic's converter, which also marks ClearText so that the codec leaves it readable.

    The SDK creates one for every activation. All share one inner converter: rebuilding its cache of types took a tenth
    of a worker's main thread.
    """

    def __init__(self) -> None:
        super().__init__(*_CONVERTERS)

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        payloads = super().to_payloads(values)
        for value, payload in zip(values, payloads, strict=True):
            if isinstance(value, ClearText):
                payload.metadata[_CLEAR] = b"1"
        return payloads


class EncryptingCodec(PayloadCodec):
    """Compresses with zlib, then encrypts with AES-256-GCM under `key_id`. Reads payloads of any known key."""

    def __init__(self, keys: Mapping[str, bytes], key_id: str) -> None:
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self._key_id = key_id
        self._cipher = self._ciphers[key_id]

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [payload if _stays_readable(payload) else self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            self._open(payload) if payload.metadata.get("encoding") in _DICTIONARIES else payload
            for payload in payloads
        ]

    def _seal(self, payload: Payload) -> Payload:
        press = _PRESS.copy()
        packed = press.compress(payload.SerializeToString()) + press.flush()
        nonce = os.urandom(NONCE_BYTES)
        return Payload(
            metadata={"encoding": ENCODING, "key": self._key_id.encode()},
            data=nonce + self._cipher.encrypt(nonce, packed, None),
        )

    def _open(self, payload: Payload) -> Payload:
        key_id = payload.metadata["key"].decode()
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise ValueError(f"no codec key with the id {key_id!r}: add it to temporal.codecKeys")
        packed = cipher.decrypt(payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:], None)
        dictionary = _DICTIONARIES[payload.metadata["encoding"]]
        return Payload.FromString(zlib.decompressobj(-15, zdict=dictionary).decompress(packed))


def _stays_readable(payload: Payload) -> bool:
    return _CLEAR in payload.metadata or payload.metadata.get("messageType") == _DETAILS_TYPE


def data_converter(settings: Temporal) -> DataConverter:
    """The data converter of every client and worker. Raises SettingsError if a key is missing or not 32 bytes."""
    return DataConverter(
        payload_converter_class=GatewayPayloadConverter,
        payload_codec=EncryptingCodec(_keys(settings), settings.codec_key_id),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


def _keys(settings: Temporal) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for name, secret in settings.codec_keys.items():
        try:
            keys[name] = base64.b64decode(secret.get_secret_value(), validate=True)
        except binascii.Error as error:
            raise SettingsError(
                f"temporal.codecKeys.{name}: must be 32 random bytes in base64; this is not base64"
            ) from error
        if len(keys[name]) != 32:
            raise SettingsError(f"temporal.codecKeys.{name}: must be 32 bytes, not {len(keys[name])}")
    if settings.codec_key_id not in keys:
        raise SettingsError(
            f"temporal.codecKeys: no key {settings.codec_key_id!r}; set GATEWAY_TEMPORAL__CODEC_KEYS to "
            '{"ID": "32 random bytes in base64"} and GATEWAY_TEMPORAL__CODEC_KEY_ID to that ID'
        )
    return keys
