"""From files to a store: subjects are read by processes of their own, kept as parts, and joined when all are there.

A part belongs to one subject and to the state of its files, so that a rerun does only what is missing or has changed.
The store depends on what is in the files and on the site's key alone: neither the number of processes nor where one of
them was stopped changes a byte. A copy of the files gives the same store but for `times.txt`, hashes of their sizes and
times by which a finished store knows its own files again without reading them.
"""
