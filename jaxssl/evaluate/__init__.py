"""What an encoder or a segmentation network is worth: measured on subjects it never saw, in their own grid.

`metrics`, `statistics`, `knn` and `linear` take arrays, `stack` and `volume` records; `embed`, `segment`, `classify`,
`saliency` and `representation` make theirs from the rows of a cache.
"""
