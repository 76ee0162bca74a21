"""Access tokens: signed JWTs that name a session and carry what is known of its member of staff."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Self

import jwt
from pydantic import Field, ValidationError

from contracts.base import Model, Timestamp
from contracts.problems import Unauthenticated
from contracts.staff import Role, Staff
from settings import Security, SettingsError

ALGORITHM: Final = "HS256"
ISSUER: Final = "gateway"
AUDIENCE: Final = "gateway-staff"
REQUIRED: Final = ["iss", "aud", "exp", "iat", "sub", "sid"]


class Claims(Model):
    """What a token says. `recorded` is false where Redis was away when the session began."""

    sub: Annotated[str, Field(min_length=1)]
    sid: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    iat: Timestamp
    exp: Timestamp
    name: str
    email: str
    role: Role
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


@dataclass(frozen=True, slots=True)
class Tokens:
    """Signs and reads access tokens with one secret and one algorithm."""

    secret: str

    @classmethod
    def from_settings(cls, security: Security) -> Self:
        if security.jwt_secret is None or not security.jwt_secret.get_secret_value():
            raise SettingsError("security.jwtSecret: set GATEWAY_SECURITY__JWT_SECRET to at least 32 random characters")
        return cls(security.jwt_secret.get_secret_value())

    def sign(self, claims: Claims) -> str:
        payload = claims.model_dump()
        return jwt.encode({**payload, "iss": ISSUER, "aud": AUDIENCE}, self.secret, algorithm=ALGORITHM)

    def read(self, token: str) -> Claims:
        """What a token of ours says. Raises Unauthenticated for any other, and for one past its end."""
        try:
            payload = jwt.decode(
                token,
                self.secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={"require": REQUIRED},
            )
            return Claims.model_validate(payload)
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The session has ended; sign in again") from None
        except (jwt.InvalidTokenError, ValidationError):
            raise Unauthenticated("The access token is not valid; sign in again") from None
