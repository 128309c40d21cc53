"""The Kubernetes manifest for an agent whose pods satisfy its proof.

People type the names and selectors, and programs read the manifest. So every value is quoted. The module
does no input or output.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from authsec.config import is_loopback
from authsec.safe_text import plain

from authsec_server.clients.model import Selector
from authsec_server.clients.pod_token import MOUNT

IMAGE = "IMAGE"
YOUR_API = "https://your-api.example.com"
_IMAGE_KEY = "k8s:container-image"
_LABEL = "k8s:pod-label:"
_LONGEST = 800  # characters of a line about one selector
_NOT_THE_MANIFESTS = {  # start of a selector key: the reason why a manifest cannot satisfy the selector
    "k8s:pod-name": "the pods of a deployment get generated names",
    "k8s:pod-uid": "each pod gets a new uid",
    "k8s:node-name": "the cluster chooses the node, unless a nodeSelector keeps the pods on this one",
    "k8s:pod-owner:": "the cluster generates the name of the owner of a deployment's pods",
}


def left_out(selectors: Sequence[Selector]) -> list[str]:
    """List the selectors that no manifest can satisfy, each on one line with the reason."""
    return [
        plain(f"{each.key} = {each.value}: {why}", _LONGEST)
        for each in selectors
        for beginning, why in _NOT_THE_MANIFESTS.items()
        if each.key.startswith(beginning)
    ]


def names_image(selectors: Sequence[Selector]) -> bool:
    """Return whether the proof names the agent's image. If not, the manifest has the placeholder `IMAGE`."""
    return any(each.key == _IMAGE_KEY for each in selectors)


def namespace(selectors: Sequence[Selector]) -> str:
    """Return the namespace of the pods: the namespace that the proof names, or `default`."""
    return next((each.value for each in selectors if each.key == "k8s:ns"), "default")


def api_url(audiences: Iterable[str]) -> str:
    """Return the first audience that is a URL, or the placeholder `YOUR_API`."""
    return next((each for each in audiences if each.startswith(("https://", "http://"))), YOUR_API)


def manifest(
    selectors: Sequence[Selector], *, slug: str, client_id: str, base_url: str, audience: str, api: str
) -> str:
    """Return YAML for a service account and a deployment whose pods satisfy these selectors.

    `audience` is for the pods' own tokens, and `api` is the URL of the API that the agent calls. The first lines list
    the selectors that the manifest cannot satisfy. These lines also say if the pods cannot reach the authority.
    """
    seen = {each.key: each.value for each in selectors}
    account = {"name": _Typed(seen.get("k8s:sa", slug)), "namespace": _Typed(namespace(selectors))}
    environment = {"AUTHSEC_BASE_URL": base_url, "AUTHSEC_AGENT_CLIENT_ID": client_id, "DOWNSTREAM_URL": api}
    documents = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": _Typed(slug), "namespace": account["namespace"]},
            "spec": _deployed(seen, account["name"], slug, environment, audience),
        },
    ]
    text = _yaml(documents)
    missing = "".join(f"#   {each}\n" for each in left_out(selectors))
    head = f"# The proof also needs these selectors, which are not in this manifest:\n{missing}" if missing else ""
    unreached = unreachable(base_url)
    return f"{head}# {unreached}\n{text}" if unreached else f"{head}{text}"


def unreachable(base_url: str) -> str:
    """Explain why pods cannot reach the authority at this address, and how to fix the problem.

    Pods cannot reach a loopback address. For any other address, return "".
    """
    if not is_loopback(urlsplit(base_url).hostname or ""):
        return ""
    return (
        f"In a pod, {plain(base_url, _LONGEST)} is the pod itself, so the agent cannot reach this authority. On "
        "the server, set AUTHSEC_SERVER_PUBLIC_URL to an address that pods can reach, and create the manifest "
        "again."
    )


class _Typed(str):
    """Text that the manifest writes in double quotes.

    YAML readers interpret unquoted text differently, such as `1e3` or `on`.
    """

    __slots__ = ()


def _yaml(documents: Sequence[object]) -> str:
    """Return the documents as YAML. A value that occurs twice is written twice, without anchors."""
    import yaml  # few callers need a manifest, and the import takes 15 ms

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, _data: object) -> bool:
            return True

    def in_quotes(dumper: yaml.SafeDumper, text: _Typed) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"')

    Dumper.add_representer(_Typed, in_quotes)
    text: str = yaml.dump_all(documents, Dumper=Dumper, sort_keys=False, width=1000)
    return text


def _deployed(
    seen: Mapping[str, str], account: str, slug: str, environment: Mapping[str, str], audience: str
) -> dict[str, Any]:
    labels = {_Typed("app"): _Typed(slug)} | {
        _Typed(key.removeprefix(_LABEL)): _Typed(value) for key, value in seen.items() if key.startswith(_LABEL)
    }
    token = {"audience": _Typed(audience), "expirationSeconds": 3600, "path": "token"}
    container = {
        "name": _Typed(seen.get("k8s:container-name", "agent")),
        "image": _Typed(seen.get(_IMAGE_KEY, IMAGE)),
        "env": [{"name": name, "value": _Typed(value)} for name, value in environment.items()],
        "volumeMounts": [{"name": "authsec", "mountPath": MOUNT, "readOnly": True}],
    }
    pod = {
        "serviceAccountName": account,
        "containers": [container],
        "volumes": [{"name": "authsec", "projected": {"sources": [{"serviceAccountToken": token}]}}],
    }
    return {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
