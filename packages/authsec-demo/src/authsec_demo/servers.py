"""The first step of the demo: start all servers on this machine, with temporary data."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from authsec import TokenVerifier

from authsec_demo.administrator import Administrator, administrator
from authsec_demo.authority import ENVIRONMENT, Authority, running_authority
from authsec_demo.evidence import Tap, Transcript
from authsec_demo.loopback import serving
from authsec_demo.model_server import ModelEndpoint, live, model_app, scripted, scripted_endpoint
from authsec_demo.sample_api import Customers, create_app, sample_customers
from authsec_demo.stage import Stage

API_IDENTIFIER: Final = "customers-api"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveModel:
    """A real model, requested with `--live-model`."""

    base_url: str
    api_key: str = field(repr=False)
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The running servers of the demo. `tap` and `transcript` record the requests to the API and to the model."""

    authority: Authority
    api_url: str
    model: ModelEndpoint
    admin: Administrator
    admin_key: str = field(repr=False)
    customers: Customers
    tap: Tap
    transcript: Transcript

    @property
    def authority_url(self) -> str:
        """Return the root URL of the authority, which is also its issuer."""
        return self.authority.url


def start(
    stage: Stage,
    running: ExitStack,
    folder: Path,
    live_model: LiveModel | None,
    settings: Mapping[str, str] | None = None,
) -> Servers:
    """Start the authority (with these `settings`), the sample API and the model. Closing `running` stops all."""
    with stage.step("Start the servers", "Real servers, on free loopback ports, with temporary data."):
        authority = running.enter_context(running_authority(folder, settings or {}))
        import autogen  # noqa: F401 - takes a second, while the authority starts anyway

        authority.await_ready()
        stage.fact("authority", f"{authority.url}, {ENVIRONMENT}, embedded SQLite")
        customers, tap, api_url = _sample_api(running, folder, issuer=authority.url)
        stage.fact("sample API", f"{api_url}, guarded by authsec.TokenVerifier")
        transcript = Transcript()
        model = _model(running, transcript, live_model)
        stage.fact("model", _described(live_model))
        admin_key = authority.create_admin_key("Administrator")
        admin = running.enter_context(administrator(authority.url, admin_key))
        stage.fact("administrator", "holds an admin key (authsec admin create-key)")
    return Servers(
        authority=authority,
        api_url=api_url,
        model=model,
        admin=admin,
        admin_key=admin_key,
        customers=customers,
        tap=tap,
        transcript=transcript,
    )


def _sample_api(running: ExitStack, folder: Path, *, issuer: str) -> tuple[Customers, Tap, str]:
    customers = sample_customers(folder)
    verifier = TokenVerifier(issuer=issuer, audience=API_IDENTIFIER)
    # Close the verifier before the authority stops, so that the verifier logs no failure.
    running.callback(verifier.close)
    tap = Tap(create_app(customers, verifier))
    return customers, tap, running.enter_context(serving(tap))


def _model(running: ExitStack, transcript: Transcript, live_model: LiveModel | None) -> ModelEndpoint:
    answering = live(live_model.base_url) if live_model else scripted
    url = running.enter_context(serving(model_app(answering, transcript)))
    if live_model:
        return ModelEndpoint(base_url=f"{url}/v1", api_key=live_model.api_key, name=live_model.name)
    return scripted_endpoint(url)


def _described(live_model: LiveModel | None) -> str:
    if live_model:
        return f"LIVE: {live_model.name} at {live_model.base_url}"
    return "SCRIPTED, by fixed rules (--live-model uses a real one)"
