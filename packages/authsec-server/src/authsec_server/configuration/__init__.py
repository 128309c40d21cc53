"""The configuration as one document: what there is, what a document asks for, and the way from one to the other.

It holds trusted issuers, APIs, roles, agents and trust delegations. The rules and the verbs of each are its own room's:
what a document asks for is done by the same verbs as a single change. Reading documents from files is `cli`'s.
"""
