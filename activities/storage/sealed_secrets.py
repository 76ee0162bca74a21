"""Secrets that we must be able to read: encrypted in PostgreSQL, so that its readers cannot sign anything."""

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from settings import Temporal


class SecretLostError(Exception):
    """No configured key can decrypt a secret: the one that encrypted it has been removed."""


class SealedSecrets:
    """Encrypts by a key derived from `temporal.codecKeyId`'s, and decrypts by those of all `temporal.codecKeys`."""

    def __init__(self, settings: Temporal) -> None:
        newest_first = sorted(settings.codec_keys, key=lambda key_id: key_id != settings.codec_key_id)
        self._keys = MultiFernet([_derived(settings.codec_keys[key_id]) for key_id in newest_first])

    def seal(self, secret: str) -> str:
        return self._keys.encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """Raises SecretLostError."""
        try:
            return self._keys.decrypt(sealed).decode()
        except InvalidToken:
            raise SecretLostError from None


def _derived(key: SecretStr) -> Fernet:
    """A derived key, so that no key is used for two purposes."""
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"gateway: secrets in storage")
    return Fernet(base64.urlsafe_b64encode(derivation.derive(key.get_secret_value().encode())))
