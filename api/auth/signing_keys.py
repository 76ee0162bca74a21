"""The keys of our tokens. One key signs new tokens; each token names its key, and all configured keys are accepted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import jwt

from settings import Security, SettingsError

ALGORITHM: Final = "HS256"
ISSUER: Final = "gateway"
MAIN: Final = "main"
"""The id of the key set as `security.jwtSecret`."""
LEAST_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """Signs with one key and reads tokens signed by any of them, with a single algorithm."""

    keys: Mapping[str, str] = field(repr=False)
    signs: str

    @classmethod
    def from_settings(cls, security: Security) -> Self:
        """Raises SettingsError if the signing key is not set, or any key is too short to be safe."""
        keys = {key_id: secret.get_secret_value() for key_id, secret in security.jwt_keys.items()}
        if security.jwt_secret is not None:
            keys[MAIN] = security.jwt_secret.get_secret_value()
        if not keys:
            raise SettingsError("security.jwtSecret: set GATEWAY_SECURITY__JWT_SECRET to at least 32 random characters")
        if security.jwt_key_id not in keys:
            known = ", ".join(sorted(keys))
            raise SettingsError(f"security.jwtKeyId: no key has the id {security.jwt_key_id!r}; known ids: {known}")
        for key_id, secret in keys.items():
            if len(secret.encode()) < LEAST_BYTES:
                name = "security.jwtSecret" if key_id == MAIN else f"security.jwtKeys.{key_id}"
                raise SettingsError(f"{name}: must have at least {LEAST_BYTES} characters")
        return cls(keys, security.jwt_key_id)

    def sign(self, claims: Mapping[str, object], *, audience: str) -> str:
        """A token with these claims for one audience. The caller puts `exp` among the claims."""
        payload = {**claims, "iss": ISSUER, "aud": audience}
        return jwt.encode(payload, self.keys[self.signs], algorithm=ALGORITHM, headers={"kid": self.signs})

    def read(self, token: str, *, audience: str, required: Sequence[str]) -> dict[str, Any]:
        """The claims of one of our tokens for this audience. Raises jwt.InvalidTokenError for any other token."""
        key = self.keys.get(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            raise jwt.InvalidTokenError("no key of ours")
        return jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=audience,
            options={"require": ["iss", "aud", "exp", "iat", *required]},
        )
