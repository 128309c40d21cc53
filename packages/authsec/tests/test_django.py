"""Django where the example does not go: under ASGI, views of both kinds, other issuers, settings that lack something.

In a process of its own, since Django takes its settings once a process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from .fake_keys import key_set, token

PROGRAM = """
import asyncio, json, sys
from authsec import ConfigError, TokenVerifier
from authsec.clock import Clock
from authsec.django import BearerAuth, agent_of, identity_of
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import JsonResponse
from django.test import AsyncClient, Client
from django.test.utils import override_settings
from django.urls import path

given = json.load(sys.stdin)
verifier = TokenVerifier(
    "https://authsec.example.com", "https://crm.example.com", keys=given["keys"], revocations="until_exp",
    clock=Clock(wall=lambda: 1_800_000_000.0),
)
settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["authsec.django.BearerAuth"],
    AUTHSEC={"verifier": verifier, "other_issuers": "pass", "public_paths": ["/healthz"]},
)
get_asgi_application()

def both(request):
    return JsonResponse({"agent": agent_of(request) is not None})

async def delete(request):
    identity_of(request).require("customers:delete")

def broken(request):
    raise ValueError("a mistake of the API's own")

urlpatterns = [path("both", both), path("delete", delete), path("broken", broken), path("healthz", both)]

async def ask(address, **headers):
    answer = await AsyncClient(raise_request_exception=False).get(address, headers=headers)
    return answer.status_code, answer.headers.get("WWW-Authenticate", "")[:6]

async def all_of_them():
    ours = {"authorization": given["good"]}
    return [
        await ask("/both"), await ask("/both", **ours), await ask("/delete"), await ask("/delete", **ours),
        await ask("/broken"), await ask("/healthz"), await ask("/both", authorization=given["bad"]),
    ]

under_asgi = asyncio.run(all_of_them())
agents = [Client().get("/both", headers=headers).json() for headers in ({}, {"authorization": given["good"]})]
refusals = []
for lacking in (None, {}, {"verifier": verifier, "public_paths": "/healthz"}):
    with override_settings(AUTHSEC=lacking):
        try:
            BearerAuth(lambda request: None)
        except ConfigError as error:
            refusals.append(error.reason)
described = {"verifier": TokenVerifier(verifier.issuers[0], "https://crm.example.com/billing", keys=given["keys"])}
with override_settings(AUTHSEC=described):
    metadata = Client().get("/.well-known/oauth-protected-resource/billing", SCRIPT_NAME="/billing").status_code
print(json.dumps([under_asgi, agents, refusals, metadata]))
"""


def test_under_asgi_and_in_its_corners(tmp_path: Path) -> None:
    given = {"keys": key_set(), "good": f"Bearer {token()}", "bad": f"Bearer {token(jti=None)}"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, input=json.dumps(given), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    under_asgi, agents, refusals, metadata = json.loads(done.stdout)
    assert [status for status, _ in under_asgi] == [200, 200, 401, 403, 500, 500, 401]
    assert [challenge for status, challenge in under_asgi if status in {401, 403}] == ["Bearer"] * 3
    assert agents == [{"agent": False}, {"agent": True}]
    assert refusals == ["verifier_missing", "verifier_missing", "public_paths_invalid"]
    assert metadata == 200
