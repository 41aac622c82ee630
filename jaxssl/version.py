"""The version of this source: read here by the build, by `jaxssl.__version__` and by every run that records it."""

__version__ = "0.1.0"
