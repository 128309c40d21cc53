"""A decorated tool in other people's frameworks; `python -m tests.frameworks` writes what comes of it into the docs."""
