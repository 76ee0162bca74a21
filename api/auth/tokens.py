"""Access tokens: signed JWTs that name a session and describe the member of staff."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Final, Self

import jwt
from pydantic import Field, ValidationError

from api.auth.signing_keys import SigningKeys
from contracts.base import Model, Timestamp
from contracts.problems import Unauthenticated
from contracts.staff import Staff, StaffRole

AUDIENCE: Final = "gateway-staff"
KEPT: Final = 4096
"""How many verified tokens are cached: verifying a signature takes a tenth of a short request."""


class Claims(Model):
    """What a token says. `recorded` is false if Redis was away when the session began."""

    sub: Annotated[str, Field(min_length=1)]
    sid: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    iat: Timestamp
    exp: Timestamp
    name: str
    email: str
    role: StaffRole
    properties: list[str]
    recorded: bool = True

    @classmethod
    def of(cls, staff: Staff, *, session_id: str, started_at: datetime, ends_at: datetime, recorded: bool) -> Self:
        return cls(
            sub=staff.id,
            sid=session_id,
            iat=started_at,
            exp=ends_at,
            name=staff.name,
            email=staff.email,
            role=staff.role,
            properties=staff.properties,
            recorded=recorded,
        )

    @property
    def staff(self) -> Staff:
        return Staff(id=self.sub, email=self.email, name=self.name, role=self.role, properties=self.properties)


class Tokens:
    """Signs and reads access tokens."""

    def __init__(self, keys: SigningKeys) -> None:
        self.keys = keys
        self._verified = lru_cache(maxsize=KEPT)(self._verify)

    def sign(self, claims: Claims) -> str:
        return self.keys.sign(claims.model_dump(), audience=AUDIENCE)

    def read(self, token: str) -> Claims:
        """The claims of one of our tokens. Raises Unauthenticated for any other, and for one that has expired."""
        try:
            claims = self._verified(token)
        except jwt.ExpiredSignatureError:
            raise _ended() from None
        except (jwt.InvalidTokenError, ValidationError):
            raise Unauthenticated("The access token is not valid; sign in again") from None
        if claims.exp <= datetime.now(UTC):
            raise _ended()
        return claims

    def _verify(self, token: str) -> Claims:
        return Claims.model_validate(self.keys.read(token, audience=AUDIENCE, required=["sub", "sid"]))


def _ended() -> Unauthenticated:
    return Unauthenticated("The session has ended; sign in again")
