"""Attack: whoever may onboard agents writes into the manifest that an administrator applies, or the line they paste.

A selector's value that ends its quotes could add a privileged container to the deployment, or a command to the line.
"""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import yaml
from authsec_server.cli.agents_deploy import spire_command, spire_entries
from authsec_server.clients.k8s_manifest import manifest
from authsec_server.clients.model import Selector
from hypothesis import given
from hypothesis import strategies as st

EVIL = [
    'x"\n          securityContext: {privileged: true}\n#',
    "x\n---\nkind: ClusterRoleBinding",
    "*anchor",
    "!!python/object/apply:os.system [id]",
    "{{ .Values.x }}",
    "on",
    "1e3",
    "0x1F",
    "~",
    "\x85\u2028\u2029\x00\\",
    "'; rm -rf / #",
    "$(id)`id`",
]


def selectors(value: str) -> list[Selector]:
    keys = ("k8s:ns", "k8s:sa", f"k8s:pod-label:{value}", "k8s:container-image")
    # The last stands in a comment, which a line break would end.
    return [Selector(key=key, value=value) for key in (*keys, "k8s:pod-name")]


def written(value: str) -> str:
    return manifest(selectors(value), slug=value, client_id=value, base_url=value, audience=value, api=value)


def agent(value: str) -> dict[str, Any]:
    shown = [{"key": each.key, "value": each.value} for each in selectors(value)]
    proof = {"selectors": shown, "trusted_issuer": None, "state": "proves"}
    return {"slug": value, "client_id": value, "spiffe_id": f"spiffe://td/{value}", "proofs": [proof]}


def check(value: str) -> None:
    account, deployment = yaml.safe_load_all(written(value))
    assert account["metadata"] == {"name": value, "namespace": value}
    pod = deployment["spec"]["template"]["spec"]
    assert set(pod) == {"serviceAccountName", "containers", "volumes"}
    (container,) = pod["containers"]
    assert set(container) == {"name", "image", "env", "volumeMounts"}
    assert container["image"] == value
    assert [each["value"] for each in container["env"]] == [value] * 3
    (projected,) = pod["volumes"][0]["projected"]["sources"]
    assert projected["serviceAccountToken"]["audience"] == value
    assert deployment["spec"]["selector"]["matchLabels"][value] == value


@pytest.mark.parametrize("value", EVIL)
def test_what_is_typed_stays_text(value: str) -> None:
    check(value)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_it_stays_text_whatever_it_is(value: str) -> None:
    check(value)


@pytest.mark.parametrize("value", EVIL)
def test_a_reader_that_guesses_more_than_ours_sees_quotes(value: str) -> None:
    lines = written(value).splitlines()
    assert all(line.partition(": ")[2].startswith('"') for line in lines if "image:" in line)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_the_line_for_spire_has_the_words_that_were_meant(value: str) -> None:
    (entry,) = spire_entries(agent(value), value)
    words = shlex.split(spire_command(entry))
    assert words[:3] == ["spire-server", "entry", "create"]
    assert words[3:7] == ["-spiffeID", f"spiffe://td/{value}", "-parentID", value]
    assert words[7::2] == ["-selector"] * 5
