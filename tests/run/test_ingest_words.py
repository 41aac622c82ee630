"""What an ingest says in the terminal of what it left out: why, and nobody's name."""

import pytest

from jaxssl.run.ingest import without_names


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            "row 6 of list.csv names Doe, Ada/a.png, which is not in scans",
            "row … of list.csv names …, which is not in scans",
        ),
        ("row 3 of people.csv names somebody again", "row … of people.csv names somebody again"),
        (
            "row 4 of people.csv names nobody of whom there is an image",
            "row … of people.csv names nobody of whom there is an image",
        ),
        (
            "row 4 of files.csv has the moment 'Mueller', which is neither ED nor ES",
            "row … of files.csv has the moment …, which is neither ED nor ES",
        ),
        ("it holds the same images as Mueller_anna.png", "it holds the same images as …"),
        ("its folders, as Mueller, are no labels: say --labels class", "its folders, as …: say --labels class"),
        (
            "its mask P01_IM00050.png is 104x125, not 208x250; kept without it",
            "its mask … is …, not …; kept without it",
        ),
        ("it is no image", "it is no image"),
    ],
)
def test_names_stay_in_the_list(reason, said):
    assert without_names(reason) == said
