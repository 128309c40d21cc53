"""The agent's requests to APIs, by `requests`, httpx or httpx2: a living token for each, to named APIs only.

`bearer` decides where a token may go, which one, and what follows a 401. `requests_auth` and `httpx_auth` are a few
lines each, for one library. `api_errors` reads from their exceptions what an API said. None of these libraries is
needed, nor imported before it is used.
"""
