"""Attack: whoever may onboard agents writes into the manifest that an administrator applies, or the line they paste.

A selector's value that ends its quotes could add a privileged container to the deployment, or a command to the line.
"""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import yaml
from authsec_server.cli.agent_files import manifest, spire_command, spire_entries
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


def agent(value: str) -> dict[str, Any]:
    selectors = [
        {"key": "k8s:ns", "value": value},
        {"key": "k8s:sa", "value": value},
        {"key": f"k8s:pod-label:{value}", "value": value},
        {"key": "k8s:container-image", "value": value},
        {"key": "k8s:pod-name", "value": value},  # stands in a comment, which a line break would end
    ]
    proof = {"selectors": selectors, "source": None}
    return {"slug": value, "client_id": value, "spiffe_id": f"spiffe://td/{value}", "proofs": [proof]}


def check(value: str) -> None:
    it = agent(value)
    account, deployment = yaml.safe_load_all(manifest(it, it["proofs"][0], base_url=value, audience=value))
    assert account["metadata"] == {"name": value, "namespace": value}
    pod = deployment["spec"]["template"]["spec"]
    assert set(pod) == {"serviceAccountName", "containers", "volumes"}
    (container,) = pod["containers"]
    assert set(container) == {"name", "image", "env", "volumeMounts"}
    assert container["image"] == value
    assert [each["value"] for each in container["env"]] == [value, value]
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
    text = manifest(agent(value), agent(value)["proofs"][0], base_url=value, audience=value)
    assert all(line.partition(": ")[2].startswith('"') for line in text.splitlines() if "image:" in line)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_the_line_for_spire_has_the_words_that_were_meant(value: str) -> None:
    (entry,) = spire_entries(agent(value), value)
    words = shlex.split(spire_command(entry))
    assert words[:3] == ["spire-server", "entry", "create"]
    assert words[3:7] == ["-spiffeID", f"spiffe://td/{value}", "-parentID", value]
    assert words[7::2] == ["-selector"] * 5
