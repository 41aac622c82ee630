"""What is told of a file is short, whatever is wrong with it."""

from pathlib import Path

from jaxssl.data.ingest.reasons import Reasons

SOURCE = Path("scans")


def test_each_reason_once_and_the_first_of_many():
    reasons = Reasons()
    for frame in range(100):
        reasons.add(SOURCE / "a" / "b.nii", f"no frame {frame}")
        reasons.add(SOURCE / "c.nii", "its mask is damaged")
    for number in range(3):
        reasons.add(SOURCE / "d.csv", f"row {number}")
    assert reasons.by_file(SOURCE) == {
        "a/b.nii": "no frame 0; no frame 1; no frame 2; and 97 more",
        "c.nii": "its mask is damaged",
        "d.csv": "row 0; row 1; row 2",
    }


def test_names_that_are_no_text_can_be_written():
    reasons = Reasons()
    reasons.add(SOURCE / "a\udcff.nii", "it is empty")
    (file,) = reasons.by_file(SOURCE)
    assert file == "a\\xff.nii"
    file.encode()
