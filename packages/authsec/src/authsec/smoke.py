"""The smoke test: check that this machine gets a usable delegation token, or show the remedy.

The test sends real requests to the authority, as an agent does, and prints the result of each step. It never
shows a token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import click

from authsec.client import AuthSecClient
from authsec.clock import Clock
from authsec.errors import AuthSecError, ConfigError
from authsec.safe_text import plain
from authsec.terminal import Grade, command_line, described, duration, heading, step
from authsec.token_report import claim_lines, verify_as_api
from authsec.tokens import DelegationToken

_T = TypeVar("_T")


def main(*, scope: str | None = None, resource: tuple[str, ...] = ()) -> int:
    """Run the smoke test for the agent that the environment names; return 0 for success, else 1.

    `scope` and `resource` limit the requested token, as in `AuthSecClient.get_token`.
    """
    try:
        client = AuthSecClient()
    except ConfigError as error:
        click.echo(f"\n{step(Grade.BAD, 'configuration', [error.reason])}\n\n{_explained(error)}\n")
        return 1
    return Smoke(client, scope=scope, resource=resource or None).run()


class Smoke:
    """One run of the smoke test for one client."""

    def __init__(
        self,
        client: AuthSecClient,
        clock: Clock | None = None,
        *,
        scope: str | None = None,
        resource: tuple[str, ...] | None = None,
    ) -> None:
        self._client = client
        self._get_token = partial(client.get_token, scope=scope, resource=resource)
        self._clock = clock or Clock()
        self._facts: list[str] = []
        self._grade = Grade.GOOD

    def run(self) -> int:
        """Run all steps in order, up to the first failure; return the exit status."""
        config = self._client.config
        click.echo(f"\n{heading('authority', config.base_url)}\n{heading('agent', config.client_id)}\n")
        try:
            self._steps()
        except AuthSecError as error:
            click.echo(f"\n{_explained(error)}\n")
            return 1
        click.echo(f"\n  {click.style('All is well:', fg='green', bold=True)} this agent can get tokens.\n")
        return 0

    def _steps(self) -> None:
        authority = self._client.authority
        with self._step("server reached"):
            issuer, took = self._timed(authority.issuer)
            self._facts.append(f"issuer {plain(issuer, 100)}, answered in {took}")
        with self._step("proof found"):
            proof = authority.find_proof()
            if proof is None:
                self._grade = Grade.AMBER
            self._facts.append(proof.source if proof else "none; only an unattested agent needs no proof")
        with self._step("token received"):
            token, took = self._timed(self._get_token)
            self._facts.append(f"in {took}")
        with self._step("signature verified"):
            identity, keys = verify_as_api(token, authority, issuer)
            self._facts.append(keys)
        with self._step("claims"):
            self._facts += claim_lines(identity)
        with self._step("expires"):
            left = identity.expires_at.timestamp() - self._clock.wall()
            self._facts.append(f"{identity.expires_at:%Y-%m-%d %H:%M:%S} UTC, in {duration(left)}")
        with self._step("second call"):
            self._facts.append(self._cached(token))

    def _cached(self, token: DelegationToken) -> str:
        transport = self._client.authority.transport
        sent_before = transport.requests_sent
        again, took = self._timed(self._get_token)
        if transport.requests_sent != sent_before or again.value != token.value:
            raise AuthSecError(
                "The second call used the network again. Check whether the token's lifetime is only a few seconds.",
                reason="not_cached",
            )
        return f"from the cache in {took}, no request sent"

    def _timed(self, call: Callable[[], _T]) -> tuple[_T, str]:
        result, seconds = self._clock.timed(call)
        return result, duration(seconds)

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        """Print the step with its facts. If the step raises an error, print the step with a cross."""
        self._facts, self._grade = [], Grade.GOOD
        try:
            yield
        except AuthSecError as error:
            click.echo(step(Grade.BAD, title, [error.reason]))
            raise
        click.echo(step(self._grade, title, self._facts))


def _explained(error: AuthSecError) -> str:
    """Describe the error, and name the command that finds further problems: `authsec doctor`."""
    return f"{described(error)}\n\n  To check every possible cause:  {command_line('doctor')}"
