"""The agent's requests to APIs by `requests`, httpx or httpx2: a valid token on each, to allowed origins only.

`bearer` decides which origin gets a token, which token, and the reaction to a 401. `requests_auth` and
`httpx_auth` adapt `bearer` to one library each. `api_errors` reads an API's refusal from the exceptions of
these libraries. None of the libraries is required, and each is imported only for use.
"""
