"""One of a host's workers follows the feed and records what it hears in a file; the others read it there.

`place` is the file, and what is demanded of it; `election` decides by a lock who follows; `recording` writes, `reading`
reads; `source` puts them together. The file is trusted in nothing: each worker verifies every batch itself, as if it
had come from the network. Whoever can write to it can keep batches back, which makes the reader's knowledge old, and a
reader whose knowledge is old asks the authority itself.
"""
