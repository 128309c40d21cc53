"""Pages about APIs: their audiences, actions and callers, and the code that protects each API.

| module | owns |
|---|---|
| `pages` | the list, one API, its form; register, edit and delete |
| `credentials` | the credential with which an API authenticates |
| `snippets` | code that protects an API, for each framework |
"""
