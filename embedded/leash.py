"""Becomes a command that the kernel ends together with the process that started it, however that one ends.

Run as a script, with the standard library alone: `leash.py PARENT SIGNAL USER COMMAND...`. PARENT is the process id to
be tied to, SIGNAL the number the command gets at its death, USER whom to run as (`-`: nobody else). Only Linux has
such a tie; elsewhere the command runs without, and the next start finds what was left.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, signal: int, user: str, command: list[str]) -> None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if user != "-":
        entry = pwd.getpwnam(user)
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if libc:
        libc.prctl(PR_SET_PDEATHSIG, signal)  # after setuid, which clears it
    if os.getppid() != parent:
        sys.exit(1)  # it ended before the tie was made
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
