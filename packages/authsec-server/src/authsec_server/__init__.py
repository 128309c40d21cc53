"""The AuthSec authority: it knows the agents, what they may do, and issues the tokens that say so.

Rooms by capability, each with the same furniture (`model`, `store`, `service`, `api`); imports go down only.
`ARCHITECTURE.md` walks one token through the house.
"""
