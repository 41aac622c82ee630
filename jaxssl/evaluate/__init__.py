"""What an encoder or a segmentation network is worth: measured on subjects it never saw, in their own grid.

`metrics` and `knn` and `linear` take arrays; `embed` and `segment` make those arrays from a cache.
"""
