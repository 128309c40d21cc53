"""One framework (`--framework`), a scripted model, a throwaway authority, a real API; a watch on all that is said."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import company
import pytest
from authsec import AuthSecClient
from authsec.testing import ScriptedModel, ThrowawayAuthority
from evidence import Evidence, every_log_record

pytest_plugins = ["authsec.testing"]
# Before a framework is imported: no test asks anybody's server for prices, and tells none that it ran.
os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "CREWAI_DISABLE_TELEMETRY": "true"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--framework", required=True)
    parser.addoption("--findings", type=Path, help="file for what the tests find out about the framework, as JSON")


@dataclass(slots=True)
class Findings:
    """What the model reads of a denial that a tool raises; None if the run ends."""

    texts: set[str | None] = field(default_factory=set)

    def add(self, read: str | None, denial: str) -> None:
        """`denial` is how the sentence begins."""
        self.texts.add(read and re.sub(rf"(?s){re.escape(denial)}.*", "<sentence>", read))


@pytest.fixture(scope="session")
def findings(request: pytest.FixtureRequest) -> Iterator[Findings]:
    found = Findings()
    yield found
    file = request.config.getoption("--findings")
    if file:
        file.write_text(json.dumps(sorted(found.texts, key=str)), "utf-8")


@pytest.fixture(scope="session")
def framework(request: pytest.FixtureRequest) -> ModuleType:
    """The module that drives it."""
    return importlib.import_module(f"driving_{request.config.getoption('--framework')}")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AUTHSEC_", "OPENAI_", "LANG")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def authsec(authsec_authority: ThrowawayAuthority) -> AuthSecClient:
    return authsec_authority.client()


@pytest.fixture
def crm(authsec_authority: ThrowawayAuthority, monkeypatch: pytest.MonkeyPatch) -> Iterator[company.Crm]:
    with company.crm(authsec_authority.verifier(company.AUDIENCE)) as running:
        monkeypatch.setenv("DOWNSTREAM_URL", running.url)
        yield running


@pytest.fixture
def model(scripted_model: Callable[..., ScriptedModel]) -> Callable[..., ScriptedModel]:
    """Start the model with what it shall say; the environment leads to it."""
    return scripted_model


class Watch:
    """Everything that was said, and by whom a token was seen."""

    def __init__(self, evidence: Evidence, printed: Any) -> None:
        self.evidence = evidence
        self._printed = printed

    def places(self, model: ScriptedModel, *tokens: str) -> set[str]:
        """Where one of these tokens can be read."""
        assert tokens
        self.evidence.add("output", *self._printed.readouterr())
        self.evidence.add("model", *model.requests)
        self.evidence.add_spans()
        return {place for token in tokens for place in self.evidence.where(token)}


@pytest.fixture
def watch(capfd: pytest.CaptureFixture[str]) -> Iterator[Watch]:
    evidence = Evidence()
    with every_log_record(evidence):
        yield Watch(evidence, capfd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """By which of the framework's calls the agent is asked, and of which kind its tools are."""

    is_async: bool
    async_tools: bool
    framework: ModuleType
    evidence: Evidence

    def ask(self, tools: Sequence[Callable[..., Any]], question: str = "Who is customer 42?") -> str:
        """The answer of a new agent that has these tools; what the run raises is evidence as well."""
        agent = self.framework.agent(tools)
        try:
            if self.is_async:
                answer: str = asyncio.run(self.framework.ask_async(agent, question, self.evidence))
            else:
                answer = self.framework.ask(agent, question, self.evidence)
        except Exception as error:
            self.evidence.add_error(error)
            raise
        return answer


@pytest.fixture(params=["run", "run async", "run async, async tools"])
def way(request: pytest.FixtureRequest, framework: ModuleType, watch: Watch) -> Way:
    return Way(
        is_async="run async" in request.param,
        async_tools="async tools" in request.param,
        framework=framework,
        evidence=watch.evidence,
    )
