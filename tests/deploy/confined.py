"""Run a program under some restrictions of a systemd unit, without systemd: confined.py UNIT PROGRAM ARGUMENT…

These are NoNewPrivileges, MemoryDenyWriteExecute and SystemCallFilter. The program needs systemd-analyze and
libseccomp.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, REFUSE_EXEC_GAIN = 38, 65, 1  # linux/prctl.h
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM  # seccomp.h


def calls_of(group: str) -> set[str]:
    """The system calls of a group, such as @system-service."""
    command = ["systemd-analyze", "--no-pager", "syscall-filter", group]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    names = {line.strip() for line in lines if line.strip() and not line.strip().startswith("#")}
    return {call for name in names for call in (calls_of(name) if name.startswith("@") else {name})}


def allowed_by(unit: str) -> set[str]:
    """The system calls that the unit allows: one line with groups, and one that takes groups out."""
    given, taken = re.findall(r"^SystemCallFilter=(.+)$", unit, re.MULTILINE)
    assert taken.startswith("~")
    removed = {call for group in taken.removeprefix("~").split() for call in calls_of(group)}
    return {call for group in given.split() for call in calls_of(group)} - removed


def confine(unit: str) -> None:
    allowed = allowed_by(unit)
    seccomp, libc = ctypes.CDLL("libseccomp.so.2"), ctypes.CDLL(None)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(REFUSE))
    for name in allowed:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        assert number < 0 or seccomp.seccomp_rule_add(context, ALLOW, number, 0) == 0, name
    assert "\nNoNewPrivileges=yes\n" in unit
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert "\nMemoryDenyWriteExecute=yes\n" in unit
    libc.prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0)  # Linux 6.3 and later
    assert seccomp.seccomp_load(context) == 0


if __name__ == "__main__":
    confine(Path(sys.argv[1]).read_text("utf-8"))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - the test names the program
