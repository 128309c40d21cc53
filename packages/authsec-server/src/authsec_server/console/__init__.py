"""The web pages for people: forms in, HTML out. Pages call the rooms' services and hold no rules.

What may be done, and what a change would stop, the rooms say; how a request becomes an answer, `web` says. A package
here (`clients/`, `delegations/`, …) is one noun of the sidebar; its templates have the same name.
"""
