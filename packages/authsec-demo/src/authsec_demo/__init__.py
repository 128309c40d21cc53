"""The demo (`authsec demo`): an authority, a sample API and a real AutoGen conversation on one machine.

The demo is not part of the product.

`sample_api` is an example for owners of APIs. `agent` is an example for developers of agents.
"""
