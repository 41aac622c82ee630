"""Every fault that is put into a store is found, and nothing else; sound stores have none."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from jaxssl.cli import main
from jaxssl.data.check import Kind, check_store
from jaxssl.data.check.text import told
from jaxssl.data.record import Record, unplaced
from jaxssl.data.store import DIGEST, LEDGER, SUMMARY, UNFINISHED, write
from jaxssl.geometry import Plane

ABOUT = {"name": "discs", "description": "Random pixels (synthetic).", "licence": "none"}
CLASSES = ("background", "a", "b", "c")


def undigested(path: Path) -> dict:
    """The summary of a store as one of an earlier version, which has no digest: it may be changed and still opens."""
    content = json.loads((path / SUMMARY).read_text())
    del content[DIGEST]
    return content


def sound(subjects: int) -> list[Record]:
    """Records whose short-axis stacks run from base to apex."""
    return [
        dataclasses.replace(r, plane=samples.plane(*r.image.shape[:2], depth=-8.0 * r.slice))
        for r in samples.records(subjects=subjects, phases=2, seed=1)
    ]


def made(path: Path, change=lambda records: records, synthetic=True, classes=CLASSES) -> Path:
    """A store of sound records, changed."""
    write(change(sound(3)), path / "s", **ABOUT, synthetic=synthetic, classes=classes)
    return path / "s"


def kinds(path: Path, **options) -> dict[Kind, int]:
    return dict(check_store(path, **options).counts)


def each(change, only=lambda record: True):
    return lambda records: [change(r) if only(r) else r for r in records]


def with_plane(**fields):
    return lambda r: dataclasses.replace(r, plane=dataclasses.replace(r.plane, **fields))


def first(record: Record) -> bool:
    return (record.subject, record.view, record.slice, record.phase) == ("s0", "sax", 0, 0)


def test_a_sound_store_has_no_findings_and_progress_goes_to_the_end(tmp_path):
    told_of = []
    assert kinds(made(tmp_path), progress=lambda done, total: told_of.append((done, total))) == {}
    assert told_of == [(n + 1, 24) for n in range(24)]


def test_unplaced_images_without_spacing_are_sound(tmp_path):
    free = each(lambda r: dataclasses.replace(r, plane=unplaced(r.image.shape[:2], None), thickness=float("nan")))
    assert kinds(made(tmp_path, free)) == {}


def test_each_flipped_byte_is_found(tmp_path):
    path = made(tmp_path)
    file = next(path.glob("*.array_record-*"))
    content = bytearray(file.read_bytes())
    held = np.flatnonzero(np.frombuffer(content, np.uint8))  # zeros may pad a block, where they hold nothing
    for place in np.random.default_rng(0).choice(held, 12, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        file.write_bytes(damaged)
        assert check_store(path).errors, place
    file.write_bytes(content)
    assert kinds(path) == {}


def test_a_damaged_record_is_named_and_the_others_are_read(tmp_path):
    path = made(tmp_path)
    file = next(path.glob("*.array_record-*"))
    content, image = bytearray(file.read_bytes()), next(samples.records(subjects=3, phases=2, seed=1)).image
    place = content.find(image.tobytes()[100:130])
    assert place > 0, "random pixels do not compress, so that they are in the file as they are"
    content[place] ^= 1
    file.write_bytes(content)
    found = check_store(path)
    assert found.examples[Kind.DAMAGED] == ["record 0"]
    assert Kind.SUMMARY not in found.counts


def test_another_fingerprint_or_summary_is_found(tmp_path):
    path = made(tmp_path)
    content = undigested(path)
    (path / SUMMARY).write_text(json.dumps({**content, "fingerprint": "0" * 16}))
    assert kinds(path) == {Kind.CHANGED: 1}
    content["info"]["subjects"] = 4
    (path / SUMMARY).write_text(json.dumps(content))
    assert check_store(path).examples[Kind.SUMMARY] == ["subjects"]


def test_what_is_not_whole_is_named(tmp_path):
    path = made(tmp_path)
    file = next(path.glob("*.array_record-*"))
    file.write_bytes(file.read_bytes()[:-1])
    assert "truncated" in check_store(path).examples[Kind.UNUSABLE][0]
    (path / SUMMARY).unlink()
    (path / UNFINISHED).mkdir()
    assert "is unfinished" in check_store(path).examples[Kind.UNUSABLE][0]
    assert main(["data", "check", str(path)]) == 1
    assert main(["data", "check", str(tmp_path / "nowhere")]) == 2


PLANES = {
    "a longer axis": with_plane(x_axis=np.array([0.8, 0.6, 0.02])),
    "a skew axis": with_plane(y_axis=np.array([0.6, 0.8, 0.0])),
    "no spacing": with_plane(spacing=np.array([0.0, 1.0])),
    "half a spacing": with_plane(spacing=np.array([np.nan, 1.0])),
    "half a place": with_plane(origin=np.array([np.nan, 1.0, 2.0])),
    "no thickness": lambda r: dataclasses.replace(r, thickness=-8.0),
}


@pytest.mark.parametrize("fault", PLANES)
def test_a_plane_that_cannot_be_is_found(fault, tmp_path):
    assert kinds(made(tmp_path, each(PLANES[fault], first))) == {Kind.PLANE: 1}


def at(depth: float, tilt: float = 0.0) -> Plane:
    plane = samples.plane(20, 24, depth=depth)
    across = np.cross(plane.x_axis, plane.y_axis)
    return dataclasses.replace(plane, x_axis=np.cos(tilt) * plane.x_axis + np.sin(tilt) * across)


STACKS = {
    "as they are": ((0, 8, 16), 0.0, {}),
    "against the normal": ((16, 8, 0), 0.0, {Kind.BASE: 1}),
    "out of order": ((0, 16, 8), 0.0, {Kind.STACK: 1}),
    "two at one place": ((0, 8, 8), 0.0, {Kind.STACK: 1}),
    "one turned": ((0, 8, 16), 0.1, {Kind.STACK: 1}),
}


@pytest.mark.parametrize("case", STACKS)
@pytest.mark.parametrize("ordered", [True, False])
def test_stacks_have_to_be_in_order(case, ordered, tmp_path):
    depths, tilt, expected = STACKS[case]
    # With this normal, -0.6 x + 0.8 y, planes lie from apex to base unless they are turned over.
    turned = samples.plane(1, 1)
    assert np.cross(turned.x_axis, turned.y_axis) @ [1, -1, -1] < 0

    def change(record: Record) -> Record:
        if (record.subject, record.view) != ("s0", "sax"):
            return record
        plane = at(-depths[record.slice], tilt * (record.slice == 2))
        return dataclasses.replace(record, plane=dataclasses.replace(plane, shape=record.plane.shape), ordered=ordered)

    if not ordered:
        expected = {kind: n for kind, n in expected.items() if kind is not Kind.BASE}
    assert kinds(made(tmp_path, each(change))) == expected


def test_masks_have_to_fit(tmp_path):
    blank = each(lambda r: dataclasses.replace(r, image=np.full_like(r.image, 9)), first)
    assert kinds(made(tmp_path / "a", blank)) == {Kind.CONSTANT: 1, Kind.MASK: 1}
    empty = each(lambda r: dataclasses.replace(r, mask=np.zeros_like(r.mask)) if r.mask is not None else r)
    assert kinds(made(tmp_path / "b", lambda records: empty(blank(records)))) == {Kind.CONSTANT: 1}
    path = made(tmp_path / "c", classes=())
    content = undigested(path)
    content["info"]["classes"] = ["background", "heart"]
    (path / SUMMARY).write_text(json.dumps(content))
    masked = sum(r.mask is not None for r in samples.records(subjects=3, phases=2))
    assert kinds(path)[Kind.CODE] == masked


@pytest.mark.parametrize(("share", "found"), [(0.01, 0), (0.06, 1)])
def test_clipping_is_told_from_a_few_bright_pixels(share, found, tmp_path):
    def bright(record: Record) -> Record:
        image = np.minimum(record.image, 250)
        image.ravel()[10 : 10 + int(share * image.size)] = 255
        return dataclasses.replace(record, image=image)

    counts = kinds(made(tmp_path, each(bright, first)))
    assert counts.get(Kind.CLIPPED, 0) == found


def test_a_subject_clipped_below_the_end_of_its_type_is_found(tmp_path):
    dim = each(lambda r: dataclasses.replace(r, image=np.minimum(r.image, 200)), lambda r: r.subject == "s1")
    found = check_store(made(tmp_path, dim))
    assert found.counts[Kind.CLIPPED] == 1
    assert found.examples[Kind.CLIPPED][0].startswith("subject s1")


TELL = {
    "2019-03-07": "a date",
    "seen 7.3.2019": "a date",
    "20190307": "a date",
    "7 Mar 2019": "a date",
    "1.2.840.113619.2.55.3": "a UID",
    "(0010,0010)": "a DICOM tag",
    "PatientID": "a DICOM tag",
    "DOE^JANE": "a name",
    "jane@example.org": "an e-mail address",
    "/home/jane/scan1": "a path",
    "C:\\scans": "a path",
    "img01.dcm": "a path",
}


@pytest.mark.parametrize("text", TELL)
def test_telling_text_is_found_wherever_it_is(text, tmp_path):
    assert TELL[text] in list(told(text))
    labelled = each(lambda r: dataclasses.replace(r, labels={"note": text}), lambda r: r.subject == "s0")
    found = check_store(made(tmp_path, labelled))
    assert any(example.startswith(TELL[text]) for example in found.examples[Kind.TELLING])
    assert not any(text in example for example in found.examples[Kind.TELLING])
    assert any(example.endswith("in store.json") for example in found.examples[Kind.TELLING])


@pytest.mark.parametrize(
    "text",
    [
        *(
            "sax",
            "CC BY-NC 4.0",
            "3.0",
            "0.138272",
            "Bernard et al., IEEE TMI 37(11):2514-2525, 2018",
            "and/or",
            "b-lines",
        ),
        *("doi 10.1109/TMI.2018.2837502", "https://example.org/a/2019-01-01.png", "1.0.0", "brain_trans-ventricular"),
    ],
)
def test_plain_words_tell_nothing(text):
    assert list(told(text)) == []


@given(st.integers(0, 2**64 - 1))
def test_a_pseudonym_never_looks_like_something_else(number):
    assert list(told(f"{number:016x}")) == []


def test_names_have_to_be_pseudonyms_unless_all_is_made_up(tmp_path):
    path = made(tmp_path, synthetic=False)
    # Three subjects, their three studies, and no key.
    assert kinds(path) == {Kind.NAME: 7}
    hashed = each(lambda r: dataclasses.replace(r, subject=f"{r.subject[1:]:0>16}", study=f"{r.subject[1:]:a>16}"))
    path = made(tmp_path / "b", hashed, synthetic=False)
    content = undigested(path)
    content["info"]["key_id"] = "0123456789abcdef"
    (path / SUMMARY).write_text(json.dumps(content))
    assert kinds(path) == {}


def test_a_label_that_names_people_is_found_and_measurements_are_not(tmp_path):
    def labelled(form):
        records = sound(6)
        return [dataclasses.replace(r, labels={"which": form(r.subject)}) for r in records]

    assert kinds(made(tmp_path / "a", lambda _: labelled(lambda who: f"lady {who}"))) == {Kind.ONE_BY_ONE: 1}
    assert kinds(made(tmp_path / "b", lambda _: labelled(lambda who: f"6{who[1:]}.5"))) == {}
    one = [dataclasses.replace(r, labels={"which": f"part {n}"}) for n, r in enumerate(sound(1))]
    assert kinds(made(tmp_path / "c", lambda _: one)) == {}


def test_files_of_others_are_named_and_looked_through(tmp_path):
    path = made(tmp_path)
    (path / "notes.txt").write_text("scanned on 2019-03-07")
    # The days on which test subjects were asked are no patient's; a full disk may cut a line off.
    lines = ('{"run": "mim-2026-01-02", "when": "2026-01-02T10:11:12+00:00"}', '{"run": "mine", "when": "2026-01-02T1')
    (path / LEDGER).write_text("\n".join(lines))
    found = check_store(path)
    assert found.examples == {Kind.FOREIGN: ["notes.txt"], Kind.TELLING: ["a date in notes.txt"]}
    (path / LEDGER).write_text('{"run": "of Doe^Jane", "when": "2026-01-02T10:11:12+00:00"}')
    assert f"a name in {LEDGER}" in check_store(path).examples[Kind.TELLING]


def test_the_verb_says_it_by_its_exit_code_and_in_a_file(tmp_path, capsys):
    path = made(tmp_path)
    assert main(["data", "check", str(path)]) == 0
    assert "no errors, no warnings" in capsys.readouterr().out
    (path / "notes.txt").write_text("nothing")
    out = tmp_path / "found.json"
    assert main(["data", "check", str(path), "--out", str(out)]) == 0
    assert main(["data", "check", str(path), "--strict"]) == 3
    content = json.loads(out.read_text())
    assert (content["errors"], content["warnings"]) == (0, 1)
    assert [(row["kind"], row["severity"], row["examples"]) for row in content["findings"]] == [
        ("foreign", "warning", ["notes.txt"])
    ]
    (path / "notes.txt").write_text("jane@example.org")
    assert main(["data", "check", str(path)]) == 1
