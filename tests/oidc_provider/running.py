"""The real OpenID Connect provider (npm `oidc-provider`) as a process, and the people who have accounts there.

It is installed once a user, below the user's cache folder and never in this tree.
"""

from __future__ import annotations

import html
import json
import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urljoin

import httpx2
from authsec.jose import PrivateKey, sign_compact

from tests.environments import npm_folder

HERE = Path(__file__).parent


class RunningProvider:
    """A provider that runs. Clients: `authsec`, `authsec-post`, `authsec-public`, one for each algorithm, and `ci`."""

    client_secret = "not a secret: a+b%c:d"

    def __init__(self, issuer: str, folder: Path, process: subprocess.Popen[str]) -> None:
        self.issuer = issuer
        self._process = process
        self._accounts = folder / "accounts.json"
        self._secret_file = folder / "client-secret"
        self._secret_file.write_text(self.client_secret + "\n")

    def account(self, login: str, **claims: Any) -> None:
        """Somebody with an account there, with claims that count from the next sign-in."""
        accounts = json.loads(self._accounts.read_text())
        known = {"email": f"{login}@example.com", "email_verified": True, "name": login.title()}
        self._accounts.write_text(json.dumps(accounts | {login: known | claims}))

    def job_token(self, audience: str, *, bound_to: PrivateKey | None = None, **claims: Any) -> str:
        """What a job of the CI system `ci` gets there, to show to that audience, with these claims beside the usual.

        One that is `bound_to` a key counts for whoever shows that they hold it, and for nobody else (RFC 9449).
        """
        accounts = json.loads(self._accounts.read_text())
        self._accounts.write_text(json.dumps(accounts | {"ci": claims}))
        form = {"grant_type": "client_credentials", "resource": audience}
        who = httpx2.BasicAuth("ci", quote_plus(self.client_secret))  # each part form-encoded: RFC 6749 section 2.3.1
        url = f"{self.issuer}/token"
        headers = {"DPoP": _held(bound_to, url)} if bound_to else {}
        answer = httpx2.post(url, data=form, auth=who, headers=headers, trust_env=False)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    def rotate(self) -> None:
        """From now on it signs with new keys, and publishes no old one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("rotate\n")
        self._process.stdin.flush()
        said = iter(self._process.stdout.readline, "")  # what it thinks of its configuration comes there, too
        assert "rotated\n" in said, "the provider has ended"

    def settings(self, client_id: str = "authsec", **more: str) -> dict[str, str]:
        """The settings of a server that signs people in here, as environment variables."""
        settings = {
            "oidc_issuer": self.issuer,
            "oidc_client_id": client_id,
            "oidc_client_secret_file": str(self._secret_file),
            "oidc_admin_values": "authsec-admin",
            "oidc_operator_values": "authsec-operator",
            "oidc_viewer_values": "authsec-viewer",
            "outbound_private_hosts": "127.0.0.1",
        } | more
        if client_id == "authsec-public":
            del settings["oidc_client_secret_file"]
        return {f"AUTHSEC_SERVER_{name.upper()}": value for name, value in settings.items()}

    def walk(self, url: str, login: str, browser: httpx2.Client | None = None) -> str:
        """Go where the server sent the browser, sign in as `login` and consent; the address that leads back."""
        if browser is None:
            with httpx2.Client(trust_env=False) as fresh:
                return self.walk(url, login, fresh)
        answer = browser.get(url)
        while True:
            if answer.is_redirect:
                where = urljoin(str(answer.url), answer.headers["location"])
                if not where.startswith(f"{self.issuer}/"):
                    return where
                answer = browser.get(where)
            else:
                action = re.search(r'<form [^>]*action="([^"]+)" method="post"', answer.text)
                prompt = re.search(r'name="prompt" value="([^"]+)"', answer.text)
                assert action, f"the provider shows no form: {answer.status_code} {answer.text[-2000:]}"
                assert prompt
                form = {"prompt": prompt[1], "login": login, "password": "any"}
                answer = browser.post(urljoin(str(answer.url), html.unescape(action[1])), data=form)


def _held(key: PrivateKey, url: str) -> str:
    """That this key is held, for one request (RFC 9449 section 4.2)."""
    claims = {"jti": secrets.token_hex(16), "htm": "POST", "htu": url, "iat": int(time.time())}
    return sign_compact({"typ": "dpop+jwt", "jwk": key.public.to_jwk()}, claims, key)


@contextmanager
def running_provider(folder: Path) -> Iterator[RunningProvider]:
    """The provider, for as long as the block runs; its files go into `folder`."""
    installed = npm_folder(HERE / "package.json", HERE / "server.mjs")
    accounts = folder / "accounts.json"
    accounts.write_text("{}")
    with (folder / "provider.log").open("w") as log:
        process = subprocess.Popen(
            ["node", installed / "server.mjs", accounts],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        with process:  # closes its standard input at the end, which ends it
            assert process.stdout is not None
            issuer = process.stdout.readline().strip()
            assert issuer, f"the provider did not start:\n{(folder / 'provider.log').read_text()}"
            yield RunningProvider(issuer, folder, process)
            process.terminate()
