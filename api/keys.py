"""Names of the REST interface that its description, its gate and its routes share."""

from typing import Final

BASE: Final = "/api/v1"
KEY_HEADER: Final = "Idempotency-Key"
KEY_PATTERN: Final = r"^[\x21-\x7e]+$"
KEY_LENGTH: Final = 255
REPLAYED: Final = "Idempotent-Replayed"
"""The header of an answer that was given before under the same key."""
