"""Where a classifier looks: maps of what speaks for a class, how they lie to the masks, and whether to believe them.

`gradients` and `rollout` make the maps, `overlap` and `sanity` judge them as plain arrays, `explain` does all of it for
the rows of a cache.
"""
