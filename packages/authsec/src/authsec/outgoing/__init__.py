"""An agent's requests to APIs by `requests`, httpx or httpx2. A valid token is added, to allowed origins only.

None of these libraries is required, and each is imported only when it is used.

| module | owns |
|---|---|
| `bearer` | which origin gets a token, which token, and the effect of a 401 |
| `requests_auth`, `httpx_auth` | the token on the requests of one library each |
| `api_errors` | an API's refusal, read from the exceptions of HTTP libraries |
"""
