"""A Flask API that one line protects.

export AUTHSEC_ISSUER="http://127.0.0.1:7468"
flask --app examples/protect_flask run
"""

import os

from authsec import TokenVerifier
from authsec.flask import identity_of, protect
from flask import Flask, request

app = Flask(__name__)
protect(app, verifier=TokenVerifier(os.environ["AUTHSEC_ISSUER"], "https://crm.example.com"))


@app.get("/customers/<customer>")
def show(customer: str) -> dict[str, str]:
    identity_of(request).require("customers:read")
    return {"id": customer}


@app.delete("/customers/<customer>")
def delete(customer: str) -> dict[str, str]:
    identity_of(request).require("customers:delete")
    return {"deleted": customer}
