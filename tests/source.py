"""Tests of the source itself, which is not there where the tests lie beside nothing but an installed wheel."""

import pathlib

import pytest

of_the_source = pytest.mark.skipif(
    not (pathlib.Path(__file__).parents[1] / "jaxssl").is_dir(), reason="The source is not here, but a wheel of it."
)
