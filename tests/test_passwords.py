"""How passwords of staff are kept."""

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import text

from activities.storage.staff import PASSWORDS
from tests.api import PASSWORD, Api


async def test_a_hash_of_weaker_times_is_made_anew_at_the_next_sign_in(api: Api, hotel: str) -> None:
    staff = await api.hire(hotel)
    weak = PasswordHash([Argon2Hasher(time_cost=1, memory_cost=1024)]).hash(PASSWORD)
    async with api.state.database.begin() as connection:
        weaken = text("UPDATE staff SET password_hash = :weak WHERE id = :id")
        await connection.execute(weaken, {"weak": weak, "id": staff.id})
    assert (await api.login(staff.email, "not the password")).status_code == 401
    before = await api.state.staff.get(staff.id)
    for _ in range(2):
        assert (await api.login(staff.email)).status_code == 200
    after = await api.state.staff.get(staff.id)
    assert before is not None
    assert after is not None
    assert before.password_hash == weak, "who does not know the password changes nothing"
    assert PASSWORDS.verify_and_update(PASSWORD, after.password_hash) == (True, None)
    assert after.version == before.version
