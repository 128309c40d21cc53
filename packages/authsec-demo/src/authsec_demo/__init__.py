"""`authsec demo`: authority, sample API and a real AutoGen conversation in one story. It is no part of the product.

`sample_api` is the example for owners of APIs, `agent` the one for developers of agents.
"""
