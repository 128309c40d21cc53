"""Accounts that administer the authority: administrators, their sessions and one-time links, and admin keys.

People sign in through `sign_in.py`; later requests carry a session cookie (`session_auth.py`). Programs
send an admin key (`authentication.py`). The sign-in pages are in `console`. `principal.py` defines what a
principal may do.
"""
