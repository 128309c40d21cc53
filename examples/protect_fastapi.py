"""A FastAPI API that one line protects. The page /docs shows the actions that each endpoint needs.

export AUTHSEC_ISSUER="http://127.0.0.1:7468"
uvicorn --app-dir examples protect_fastapi:app
"""

import os
from typing import Annotated

from authsec import TokenVerifier, VerifiedToken
from authsec.asgi import BearerAuth
from authsec.fastapi import agent
from fastapi import Depends, FastAPI

verifier = TokenVerifier(os.environ["AUTHSEC_ISSUER"], "https://crm.example.com")
app = FastAPI(title="CRM")
app.add_middleware(BearerAuth, verifier=verifier, public_paths=["/docs", "/openapi.json"])


@app.get("/customers/{customer}")
def show(customer: str, identity: Annotated[VerifiedToken, Depends(agent("customers:read"))]) -> dict[str, str]:
    return {"id": customer, "asked_by": identity.agent}


@app.delete("/customers/{customer}", dependencies=[Depends(agent("customers:delete"))])
def delete(customer: str) -> dict[str, str]:
    return {"deleted": customer}
