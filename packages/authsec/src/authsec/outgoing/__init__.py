"""The agent's requests to APIs, by `requests`, httpx or httpx2: a living token for each, to named APIs only.

`origins` knows where a token may go, `bearer` which one goes and what follows a 401. `requests_auth` and `httpx_auth`
are a few lines each: one library's way of asking. `api_errors` reads from their exceptions what an API has said. None
of these libraries is needed, nor imported before it is used.
"""
