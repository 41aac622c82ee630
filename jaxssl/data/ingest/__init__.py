"""From files to a store: subjects are read by processes of their own, kept as parts, and joined when all are there.

A part belongs to one subject and to the state of its files, so that a rerun does only what is missing or has changed.
The store depends on the files and the site's key alone: neither the number of processes nor where one of them was
stopped changes a byte. Of a copy of the files all is the same but for the hash in store.json that names their state,
in which their times count.
"""
