"""Each kind of thing in the words of a document: as it stands there, as it is compared, and what brings it about.

Each module has the same functions: `exported` and `facts` of a thing that is there, `step`, which compares it with
what a document wants and says what is to be done, and `removal_step`. Nothing is done here.
"""
