"""An estate that has one of everything, and every operation of the admin API as it would succeed there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authsec_server.accounts.model.sessions import BrowserCaller
from databases import settings_for
from issuers import ONE
from one_of_everything import BODIES, filled
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
ROLES = ("viewer", "operator", "admin")
OF_ADMINS = {
    "keys",
    "administrators",
    "admin-keys",
    "setup-links",
    "issuers",
    "events",
}  # for admins to change
OF_OPERATORS = {"bindProofs", "tryToken"}  # at a trusted issuer, and about clients
ASKED_BY_VIEWERS = {"compareConfiguration"}  # a question of several lines, which no address could hold
AT_THE_MACHINE = {"makeSetupLink"}  # no key makes a way in for a person
NOT_YET = {"getAuditCheckpoint": 404, "rotateSealingKey": 409}  # nothing is sealed here

ELSEWHERE = {  # what the estate's usual thing is not fit for
    "addProof": {"client": "keeper"},
    "removeProof": {"client": "pod"},
    "deleteRole": {"role": "unused"},
    "rotateSecret": {"client": "keeper"},
    "createEnrolment": {"client": "pod"},
    "takeBackEnrolment": {"client": "pod"},
    "listEnrolments": {"client": "pod"},
    "removeTrustedIssuer": {"trusted_issuer": "unused"},
    "deleteApi": {"api": "unused"},
}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What the document says of one."""

    id: str
    method: str
    path: str
    least: str
    rehearsed: bool
    revised: bool

    @property
    def noun(self) -> str:
        return self.path.removeprefix(f"{API}/").split("/")[0]

    @property
    def policy(self) -> str:
        """The least role by the rule: viewers read, operators change, admins change what is theirs."""
        if self.method == "get" or self.id in ASKED_BY_VIEWERS:
            return "viewer"
        return "admin" if self.noun in OF_ADMINS and self.id not in OF_OPERATORS else "operator"


@dataclass
class Estate:
    """Everything that there is to be asked for, and who asks. `secrets` are all that was shown once."""

    its: House
    door: TestClient
    parts: dict[str, str]
    keys: dict[str, str]
    strangers: dict[str, str | None]
    secrets: set[str]

    def operations(self) -> Iterator[Operation]:
        document = self.door.get(f"{API}/openapi.json").json()
        for path, methods in document["paths"].items():
            for method, what in methods.items():
                if what.get("security") == []:
                    continue
                ((least,),) = (each["adminKey"] for each in what["security"])
                named = {each["name"] for each in what["parameters"]}
                yield Operation(
                    id=what["operationId"],
                    method=method,
                    path=path,
                    least=least,
                    rehearsed="dry_run" in named,
                    revised="If-Match" in named,
                )

    def call(self, operation: Operation, credential: str | None) -> Any:
        where = operation.path.format(**(self.parts | ELSEWHERE.get(operation.id, {})))
        headers = {"Authorization": f"Bearer {credential}"} if credential is not None else {}
        body = filled(BODIES.get(operation.id, {}), self.parts)
        return self.door.request(
            operation.method,
            where,
            params={"dry_run": "1"} if operation.rehearsed else {},
            headers=headers | ({"If-Match": "*"} if operation.revised else {}),
            **({} if operation.method == "get" else {"json": body}),
        )


def estate_of(house: Callable[..., House], database_url: str, tmp_path: Path) -> Estate:
    """One of everything, in an authority on that database."""
    settings = settings_for(database_url, tmp_path)
    its, local = house(**settings), house(local_operator=True, **settings).door()
    secrets: set[str] = set()
    agent = its.delegated_name("Open")

    def make(path: str, **body: Any) -> dict[str, Any]:
        answer = local.post(f"{API}/{path}", json=body)
        assert answer.status_code in {200, 201}, (path, answer.text)
        made: dict[str, Any] = answer.json()
        secrets.update(str(made[name]) for name in ("key", "credential", "client_secret", "code") if name in made)
        if "link" in made:
            secrets.add(made["link"]["path"].partition("=")[2])
        return made

    key = ONE.public.to_jwk() | {"kid": "1"}
    for name in ("Cluster", "Unused"):
        issuer = f"https://{name.lower()}.example.com"
        make("issuers", name=name, kind="kubernetes", issuer=issuer, keys_from="given", given_keys={"keys": [key]})
    make("clients", name="Keeper", platform="secret")
    pod = {"selectors": [{"key": "k8s:ns", "value": "production"}], "trusted_issuer": "cluster"}
    make("clients", name="Pod", platform="kubernetes", **pod)
    for name in ("Used", "Unused"):
        make("apis", name=name, identifier=f"https://{name.lower()}.api.example.com")
    make("roles", name="Unused", actions=["a:b"])
    credential = make("apis/used/credentials")
    _people(its, make)
    token = its.door().get(ENDPOINT, params={"client_id": agent}).json()["token"]
    keys = {role: make("admin-keys", name=role, role=role)["key"] for role in ROLES}
    gone = make("admin-keys", name="gone", role="admin")
    make("admin-keys/gone/revoke")
    parts = {
        "client": "open",
        "proof": local.get(f"{API}/clients/pod").json()["proofs"][0]["id"],
        "enrolment": make("clients/pod/enrolments")["id"],
        "trusted_issuer": "cluster",
        "role": "role-of-open",
        "api": "used",
        "credential": credential["id"],
        "delegation": local.get(f"{API}/delegations").json()["items"][0]["slug"],
        "kid": local.get(f"{API}/keys").json()["items"][0]["kid"],
        "administrator": "bob@example.com",
        "key": "gone",
        "event": str(its.events()[-1].id),
        "n": "1",
        "email": "ann@example.com",
        "jti": next(each.event.jti for each in its.events() if each.event.kind == "token.issued"),
    }
    strangers: dict[str, str | None] = {
        "nobody": None,
        "a revoked key": gone["key"],
        "an agent's token": token,
        "an API's credential": credential["credential"],
        "a key that nobody made": "authsec_" + "A" * 43,
    }
    return Estate(its, its.door(), parts, keys, strangers, secrets | {token})


def _people(its: House, make: Callable[..., dict[str, Any]]) -> None:
    """Two admins who can sign in, so that either may be changed; and somebody who has not come yet."""
    sign_in, caller = (
        its.authority.sign_in,
        BrowserCaller(request_id="req_00000000000000000000000r", address="192.0.2.9"),
    )
    first = sign_in.first_link()
    sign_in.set_up_first(first.code, email="ann@example.com", name="Ann", password="violet tram kiosk", caller=caller)
    link = make("administrators", email="bob@example.com", name="Bob", role="admin")["link"]
    make("administrators", email="eve@example.com", name="Eve", role="viewer")
    sign_in.set_password(link["path"].partition("=")[2], password="violet tram kiosk", caller=caller)
