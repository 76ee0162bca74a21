"""Runs a command that the kernel ends together with its parent process, however the parent ends.

A script that uses only the standard library: `leash.py PARENT SIGNAL USER COMMAND...`. PARENT is the process id to be
tied to, SIGNAL the number of the signal sent to the command when PARENT dies, USER whom to run as (`-`: no change).
This works on Linux only; elsewhere the command runs untied, and the next start cleans up what was left.
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
        sys.exit(1)  # the parent ended before we were tied to it
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
