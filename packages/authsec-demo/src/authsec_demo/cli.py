"""The commands `authsec demo` and `authsec demo-api`.

A command imports its own modules only when the command runs.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from authsec_demo.servers import LiveModel

DEMO_API_PORT = 7469  # the next port after that of `authsec serve`
_OPENAI = "https://api.openai.com/v1"
_INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended


def register(group: click.Group) -> None:
    """Add the commands to `authsec`. The package names this function as an entry point of `authsec.commands`."""
    group.add_command(demo)
    group.add_command(demo_api)


@click.command()
@click.option("--exit", "leave", is_flag=True, help="Exit after the last step, with status 1 if a step failed.")
@click.option(
    "--kubernetes", is_flag=True, help="Run the agent in a simulated Kubernetes cluster, and authenticate it there."
)
@click.option(
    "--live-model",
    is_flag=True,
    help="Use a real model, with OPENAI_API_KEY and OPENAI_BASE_URL. A real model costs money.",
)
@click.option("--model", default="gpt-5-mini", show_default=True, envvar="OPENAI_MODEL", help="Its name.")
def demo(leave: bool, kubernetes: bool, live_model: bool, model: str) -> None:
    """See AuthSec at work, on this machine.

    The demo onboards an agent and delegates actions to the agent. The agent then fetches data from an API in a
    real AutoGen conversation. The demo also shows which requests are refused and which events the audit log
    records.

    The servers use free ports and temporary data. The servers run until you press Ctrl-C, so that you can try
    them.
    """
    wanted = _live_model(model) if live_model else None
    _require_autogen()
    _end_orderly()
    sys.exit(_tell(wanted, leave=leave, kubernetes=kubernetes))


@click.command("demo-api")
@click.option(
    "--issuer", default="http://127.0.0.1:7468", show_default=True, envvar="AUTHSEC_BASE_URL", show_envvar=True,
    metavar="URL", help="The authority whose tokens the API accepts: its exact issuer.",
)  # fmt: skip
@click.option(
    "--audience", default="authsec-api", show_default=True,
    help="The API's identifier. The default is the audience of delegations that name no API.",
)  # fmt: skip
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=DEMO_API_PORT, show_default=True,
    help="Loopback port to listen on; 0 picks a free port.",
)  # fmt: skip
def demo_api(issuer: str, audience: str, port: int) -> None:
    """Run a sample API and a scripted model for agents of your own authority.

    The API has customers 41 and 42, in temporary data. The scripted model replaces OpenAI's API at /v1 and needs
    no account. The model calls the agent's tool that fetches or deletes a customer.

    The API and the model listen only on 127.0.0.1. Press Ctrl-C to stop the API and the model.
    """
    from authsec_demo.demo_api import demo_api_running
    from authsec_demo.loopback import bypass_proxies
    from authsec_demo.stage import Stage

    bypass_proxies()
    _end_orderly()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    stage = Stage()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="authsec-demo-", ignore_cleanup_errors=True) as folder,
            demo_api_running(stage, Path(folder), issuer=issuer.rstrip("/"), audience=audience, port=port),
        ):
            stage.line()
            stage.line("The API stays up until you press Ctrl-C.")
            threading.Event().wait()
    except KeyboardInterrupt:
        stage.line()
        stage.line("Stopped. The API's data is deleted.")


def _tell(live_model: LiveModel | None, *, leave: bool, kubernetes: bool) -> int:
    from authsec_demo.loopback import bypass_proxies
    from authsec_demo.stage import Stage, StoryEnded

    if kubernetes:
        from authsec_demo.in_cluster.story import run_story
    else:
        from authsec_demo.story import run_story
    bypass_proxies()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # A model may use characters that this terminal cannot show.
    stage = Stage()
    stage.line("AuthSec demo", style="bold")
    stage.note("Every step once, on this machine. Everything is deleted when the demo ends.")
    status = _INTERRUPTED
    try:
        with (
            tempfile.TemporaryDirectory(prefix="authsec-demo-", ignore_cleanup_errors=True) as folder,
            run_story(stage, Path(folder), live_model, stays=not leave),
        ):
            status = 0
            stage.line()
            if leave:
                stage.line("All steps succeeded. With --exit, everything stops now.")
            else:
                stage.line("All of this stays up until you press Ctrl-C.")
                threading.Event().wait()
    except StoryEnded:
        stage.line()
        stage.line("The demo stops here: a step failed.", style="bold red")
        status = 1
    except KeyboardInterrupt:
        stage.line()
        stage.line("Stopped. Servers and data are deleted.")
    return status


def _live_model(name: str) -> LiveModel:
    from authsec_demo.servers import LiveModel

    api_key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not api_key:
        raise click.UsageError("--live-model needs an API key in OPENAI_API_KEY.")
    return LiveModel(base_url=os.environ.get("OPENAI_BASE_URL", "").strip() or _OPENAI, api_key=api_key, name=name)


def _require_autogen() -> None:
    """Raise `ClickException` if AutoGen is not installed. The classic AutoGen API needs Python 3.13 or older."""
    if importlib.util.find_spec("autogen") is None:
        version = ".".join(map(str, sys.version_info[:2]))
        raise click.ClickException(
            "The demo needs AutoGen (autogen[openai]>=0.14,<1), which is not installed here.\n"
            f"AutoGen supports Python 3.11 to 3.13; this is Python {version}. Run it with a supported version:\n"
            "    uv run --python 3.13 authsec demo"
        )


def _end_orderly() -> None:
    """Handle SIGTERM and SIGHUP like Ctrl-C, so that the process stops its servers and deletes its folder."""

    def end(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature of a signal handler
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)
