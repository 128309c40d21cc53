"""For each kind of entity: export it to a document, compare it with a document, and plan its changes.

Each module has the same functions. `exported` and `facts` describe an existing entity. `step` compares the
entity with the document and returns the planned step. `removal_step` returns the step that removes the
entity. The functions change nothing.
"""
