"""Who may administer: administrators with their sessions and one-time links, and admin keys.

People come in by `sign_in.py` and are known by their cookie afterwards (`cookies.py`); programs send an admin key
(`authenticate.py`). The pages of signing in are the console's. What a principal may do is in `principal.py`.
"""
