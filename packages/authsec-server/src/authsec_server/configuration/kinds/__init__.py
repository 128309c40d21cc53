"""For each kind of thing: export it to a document, compare it with a document, and plan its changes.

Each module has the same functions. `exported` and `facts` describe an existing thing. `step` compares the
thing with the document and returns the planned step. `removal_step` returns the step that removes the thing.
The functions change nothing.
"""
