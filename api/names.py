"""Names of the REST interface that its description, its gate and its routes share."""

from typing import Final, Literal

BASE: Final = "/api/v1"
KEY_HEADER: Final = "Idempotency-Key"
KEY_PATTERN: Final = r"^[\x21-\x7e]+$"
KEY_LENGTH: Final = 255
REPLAYED: Final = "Idempotent-Replayed"
"""The header of responses that repeat the answer given before under the same key."""
LASTING_KEY: Final = "gateway.idempotency_key"
"""The scope entry that holds a request's key together with the day on which the request first came under it."""
Dependency = Literal["ok", "away"]
"""Whether something that the process depends on answers."""
