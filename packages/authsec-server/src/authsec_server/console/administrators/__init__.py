"""Administrators: people who can sign in, their sessions, and admin keys for programs.

| module | owns |
|---|---|
| `people` | the list; one administrator; invite, edit, disable, enable, reset |
| `admin_keys` | create and revoke admin keys |
| `grants` | all trust delegations of one administrator or key: list, and revoke together |
"""
