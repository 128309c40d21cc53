"""The configuration as one document: export it, compare a document with it, and apply a document.

A document holds trusted issuers, APIs, roles, agents and trust delegations. Their rules and changes live in
the domain packages. Applying a document calls the same functions as a single change. The command line reads
documents from files: see `cli`.
"""
