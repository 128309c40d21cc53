"""The steps of `authsec demo --kubernetes`, in order. Each step checks its own outcome."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from authsec_demo.farewell import exports, hand_over
from authsec_demo.in_cluster.place import settings, start_cluster
from authsec_demo.in_cluster.records import audit
from authsec_demo.in_cluster.registering import onboard, register
from authsec_demo.in_cluster.scenes import enrol, laptop, other_account, pod_deleted, says_how
from authsec_demo.in_cluster.workload import deploy
from authsec_demo.onboarding import Agent, delegate
from authsec_demo.records import count_tokens
from authsec_demo.scenes import fetch
from authsec_demo.servers import LiveModel, start
from authsec_demo.stage import Stage


@contextmanager
def run_story(stage: Stage, folder: Path, live_model: LiveModel | None, *, stays: bool) -> Iterator[None]:
    """Run all steps like `authsec_demo.story.run_story`, but with an agent in Kubernetes."""
    with ExitStack() as running:
        servers = start(stage, running, folder, live_model, settings(folder))
        place = start_cluster(stage, running, folder)
        agent = onboard(stage, servers.admin, register(stage, servers, place))
        delegate(stage, servers.admin, agent["client_id"])
        workload = deploy(stage, servers, place, agent)
        authsec = workload.client(servers.authority_url, agent["client_id"])
        # The import of AutoGen is slow, and `start` has already done it.
        from authsec_demo.agent import CustomerSupport

        fetch(stage, servers, CustomerSupport(authsec, api_url=servers.api_url, model=servers.model))
        says_how(stage, servers, authsec)
        other_account(stage, servers, place, agent, workload)
        laptop(stage, servers, place, agent)
        key = enrol(stage, servers, place, agent)
        pod_deleted(stage, servers, place, agent, workload)
        audit(stage, servers.admin)
        count_tokens(stage, servers.transcript, servers.tap, [workload.token_file.read_text("ascii")])
        if stays:
            of_the_laptop = exports(servers, Agent(client_id=agent["client_id"], key_file=Path(key.path)))
            hand_over(stage, servers, of_the_laptop | {"KUBECONFIG": str(place.kubeconfig)})
        yield
