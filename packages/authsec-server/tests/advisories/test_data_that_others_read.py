"""Attack: another user of the machine reads the database file, and with it password hashes and the audit log.

Or writes to it, or exchanges it for another: a folder that others may write to lets them do both.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from authsec_server.app import open_authority
from authsec_server.failures import StartupRefused
from authsec_server.settings import load_settings
from long_runs import some_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file modes")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """The mode of each file and folder below, and of the folder itself."""
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in (folder, *folder.rglob("*"))}


def test_every_file_is_private_in_a_folder_that_others_read(tmp_path: Path) -> None:
    data = tmp_path / "shared"
    data.mkdir()
    data.chmod(0o755)
    with umask(0), open_authority(load_settings(data=data)):
        found = modes(data)
    assert {"authsec.sqlite3", "authsec.sqlite3-wal", "authsec.sqlite3-shm", "master.key"} <= found.keys()
    assert {name: oct(mode) for name, mode in found.items() if name != "shared" and mode & 0o077} == {}


@pytest.mark.soak
def test_a_server_makes_nothing_that_others_read(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    command = [str(Path(sys.executable).with_name("authsec")), "serve", "--data", str(data), "--port", "0"]
    checkpoints = tmp_path / "new" / "checkpoints"
    environment = os.environ | {"AUTHSEC_SERVER_AUDIT_CHECKPOINTS": str(checkpoints)}
    with umask(0), (tmp_path / "log").open("w") as log:
        (tmp_path / "new").mkdir(mode=0o700)
        process = subprocess.Popen(command, env=environment, stderr=log, stdout=log)
    try:
        deadline = time.monotonic() + 30
        while not checkpoints.exists():
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        found = modes(tmp_path / "new")
        if sys.platform == "linux":  # for files to which no code of ours gives a mode
            assert "Umask:\t0077\n" in Path(f"/proc/{process.pid}/status").read_text()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
    assert {"data", "authsec.sqlite3", "master.key", "checkpoints"} <= found.keys()
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}


@pytest.mark.parametrize("mode", some_of([0o644, 0o604, 0o660, 0o606, 0o620], each=2))
def test_a_database_file_that_others_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    with open_authority(load_settings(data=tmp_path)):
        """It makes the data."""
    file = tmp_path / "authsec.sqlite3"
    file.chmod(mode)
    with pytest.raises(StartupRefused, match="by other users") as refused, open_authority(load_settings(data=tmp_path)):
        pass
    assert refused.value.remedy == f"chmod 600 {file}"
    log = tmp_path / "authsec.sqlite3-wal"  # as a server leaves it that was killed
    log.touch()
    log.chmod(0o644)
    with pytest.raises(StartupRefused) as refused, open_authority(load_settings(data=tmp_path)):
        pass
    assert refused.value.remedy == f"chmod 600 {file} {log}", "all of them in one command"
    file.chmod(0o600)
    log.chmod(0o600)
    with open_authority(load_settings(data=tmp_path)):
        """Mended as it said."""


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_folder_in_which_others_exchange_files_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(StartupRefused, match="can replace") as refused, open_authority(load_settings(data=tmp_path)):
        pass
    assert refused.value.remedy == f"chmod 700 {tmp_path}"
    tmp_path.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="only root gives files to others")
def test_the_root_folder_of_a_kubernetes_volume_is_tolerated_and_another_users_is_not(tmp_path: Path) -> None:
    """`fsGroup`: the folder belongs to root and to the pod's group, which may write (mode 2775)."""
    tmp_path.chmod(0o2775)
    with open_authority(load_settings(data=tmp_path)):
        """A container that runs as the volume's group."""
    os.chown(tmp_path, 12345, -1)
    with pytest.raises(StartupRefused, match="can replace"), open_authority(load_settings(data=tmp_path)):
        pass
    os.chown(tmp_path, 0, -1)
    file = tmp_path / "authsec.sqlite3"
    file.chmod(0o640)  # root's, and readable for the group: as Kubernetes mounts a secret
    with open_authority(load_settings(data=tmp_path)):
        """As private_files.py tolerates it."""
    os.chown(file, 12345, -1)
    with pytest.raises(StartupRefused, match="by other users"), open_authority(load_settings(data=tmp_path)):
        pass
