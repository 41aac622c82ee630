"""What an encoder or a segmentation network is worth: measured on subjects it never saw, in their own grid.

`metrics`, `knn` and `linear` take arrays; `embed` and `segment` make theirs from the rows of a cache.
"""
