"""The agent's requests to APIs by `requests`, httpx or httpx2: a valid token on each, to allowed origins only.

None of the libraries is required, and each is imported only for use.

| module | owns |
|---|---|
| `bearer` | which origin gets a token, which token, and what a 401 means |
| `requests_auth`, `httpx_auth` | the same for one library each |
| `api_errors` | an API's refusal, read from the exceptions of HTTP libraries |
"""
