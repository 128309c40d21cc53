"""The steps of the demo, in order, on real servers. Each step checks its own outcome."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from authsec_demo.farewell import exports, hand_over, renew
from authsec_demo.onboarding import delegate, onboard
from authsec_demo.records import audit, count_tokens
from authsec_demo.scenes import ask_to_delete, fetch, revoke, stranger
from authsec_demo.servers import LiveModel, start
from authsec_demo.stage import Stage


@contextmanager
def run_story(stage: Stage, folder: Path, live_model: LiveModel | None, *, stays: bool) -> Iterator[None]:
    """Run all steps of the demo. The servers then run until the `with` block ends.

    If `stays` is true, print how to use the servers. The demo writes all files to `folder`. Raises `StoryEnded`
    if a step fails.
    """
    with ExitStack() as running:
        servers = start(stage, running, folder, live_model)
        agent = onboard(stage, servers.admin, folder)
        delegation = delegate(stage, servers.admin, agent.client_id)
        authsec = agent.client(servers.authority_url)
        # The import of AutoGen is slow, and `start` has already done it.
        from authsec_demo.agent import CustomerSupport

        support = CustomerSupport(authsec, api_url=servers.api_url, model=servers.model)
        fetch(stage, servers, support)
        ask_to_delete(stage, servers, support)
        stranger(stage, servers, agent)
        revoke(stage, servers.admin, authsec, delegation["id"], servers.api_url)
        audit(stage, servers.admin)
        count_tokens(stage, servers.transcript, servers.tap)
        renew(stage, servers, agent, delegation)
        if stays:
            hand_over(stage, servers, exports(servers, agent))
        yield
