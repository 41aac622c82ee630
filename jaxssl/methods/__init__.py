"""One short file a method; `base` is the contract that all of them keep."""
