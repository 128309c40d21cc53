"""Where heads are sent: a file that is appended to, or an address that they are posted to."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from authsec_server.audit.sealing.heads import Head
from authsec_server.failures import StartupRefused
from authsec_server.outbound import Limits, Outbound, OutboundFailed
from authsec_server.settings import ENV_PREFIX

_LIMITS: Final = Limits(seconds=10.0, max_bytes=64 * 1024)
_MAX_TOKEN: Final = 16_384


class NotTaken(Exception):
    """A head was not taken. The text says why, and holds no credential and no query of an address."""


class Sink(Protocol):
    """Where heads go."""

    def take(self, head: Head) -> None:
        """Keep the head durably. Blocks its thread. Raises `NotTaken`."""

    def check(self) -> None:
        """Raise `StartupRefused` where no head can ever be taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntoFile:
    """A line for each head, behind those that are there. A pipe or a device keeps nothing, and may block for ever."""

    path: Path

    def take(self, head: Head) -> None:
        how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path, how | os.O_NONBLOCK, 0o600)  # else a pipe that nobody reads blocks here
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise NotTaken(f"{self.path} is no regular file")
                line = (b"\n" if self._torn() else b"") + f"{head.signed}\n".encode("ascii")
                if os.write(descriptor, line) != len(line):
                    raise NotTaken(f"{self.path} took only a part of it")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise NotTaken(f"{self.path} cannot be written: {error.strerror}") from None

    def _torn(self) -> bool:
        """Whether its last line was not finished: a disk was full, or somebody was killed."""
        try:
            with self.path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read(1) != b"\n"
        except OSError:
            return False  # it is empty, or may only be written

    def check(self) -> None:
        try:
            never = (self.path.exists() and not self.path.is_file()) or not self.path.parent.is_dir()
        except OSError:  # a name that is too long, a folder that may not be looked into
            never = True
        if never:
            raise StartupRefused(
                f"{ENV_PREFIX}AUDIT_HEADS names {self.path}, which cannot be a regular file.",
                "Name a file in a folder that is there, or an address: https://…",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToAddress:
    """A POST of `{"head": …}` for each head. `token_file` holds the bearer token that goes along, read each time."""

    outbound: Outbound
    url: str
    token_file: Path | None = None

    def take(self, head: Head) -> None:
        try:
            answer = self.outbound.post_json(self.url, {"head": head.signed}, headers=self._headers(), limits=_LIMITS)
        except OutboundFailed as failed:
            raise NotTaken(str(failed)) from None
        if not 200 <= answer.status < 300:
            raise NotTaken(f"{answer.source} answered with the status {answer.status}")

    def check(self) -> None:
        try:
            self.outbound.check_url(self.url)
        except OutboundFailed as failed:
            raise StartupRefused(f"{ENV_PREFIX}AUDIT_HEADS cannot be used: {failed}.") from None

    def _headers(self) -> dict[str, str]:
        if self.token_file is None:
            return {}
        try:
            with self.token_file.open("rb") as file:
                token = file.read(_MAX_TOKEN).strip()
        except OSError as error:
            raise NotTaken(f"the token file {self.token_file} cannot be read: {error.strerror}") from None
        if not token or b"\n" in token or not token.isascii():  # a private key, perhaps: it stays here
            raise NotTaken(f"the token file {self.token_file} does not hold one token on one line")
        return {"Authorization": f"Bearer {token.decode('ascii')}"}
