"""The set of lungs, each from a tiny tree of the layout that it is distributed in, and whose its clips are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from folders import grey, smooth

from jaxssl.data.datasets import set_of


def test_pocus(listed: Callable, tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset_metadata.csv").write_text(
        "Date added,Current location,Filename,Label,License\n"
        "20.04.20,data/pocus_videos/Convex,Cov-Atlas+(44),COVID-19,CC BY-NC 4.0\n"
        "20.04.20,data/pocus_images/linear,Reg_one.PNG,regular,\n"
    )
    clip = tmp_path / "data" / "pocus_videos" / "convex" / "Cov-Atlas+(44).mp4"
    clip.parent.mkdir(parents=True)
    clip.write_bytes(b"0")
    grey(tmp_path / "data" / "pocus_images" / "linear" / "Reg_one.png")
    (clip.parent / "README.md").write_text("what lies here")
    found = listed(set_of("pocus"), tmp_path)
    assert [(s.series[0].view, dict(s.series[0].labels)) for s in found.values()] == [
        ("lung", {"group": "covid", "probe": "convex", "licence": "CC BY-NC 4.0"}),
        ("lung", {"group": "regular", "probe": "linear"}),
    ]


def test_pocus_of_a_copy_as_frames(made: Callable, tmp_path: Path):
    """A clip is a subject, its frames in time and not as the table has them."""
    (tmp_path / "frames.csv").write_text(
        "file,clip,frame,n_frames,label,probe,licence,licence_url,source,b_lines,a_lines,consolidation,effusion\n"
        "c_f0016.png,c,16,41,covid,convex,CC BY 4.0,u,s,1.0,0.0,,0.0\n"
        "c_f0008.png,c,8,41,covid,convex,CC BY 4.0,u,s,1.0,0.0,,0.0\n"
        "d_f0000.png,d,0,1,regular,linear,CC BY 2.0,u,s,,,,\n"
    )
    images = {name: grey(tmp_path / "frames" / name) for name in ("c_f0008.png", "c_f0016.png", "d_f0000.png")}
    found = made(set_of("pocus"), tmp_path)
    assert list(found) == ["c", "d"]
    assert [(r.slice, r.phase, r.phases) for r in found["c"]] == [(0, 0, 2), (0, 1, 2)]
    for record, name in zip(found["c"], ("c_f0008.png", "c_f0016.png"), strict=True):
        np.testing.assert_array_equal(record.image[..., 0], images[name])
        signs = {"b_lines": "yes", "a_lines": "no", "effusion": "no"}
        assert record.labels == {"group": "covid", "probe": "convex", "licence": "CC BY 4.0", **signs}
    assert found["d"][0].labels == {"group": "regular", "probe": "linear", "licence": "CC BY 2.0"}


def test_clips_of_one_person_are_one_subject(listed: Callable, tmp_path: Path):
    """By what their names say of patients, cases, sets and days, of whatever group they are, and by what they show."""
    people = [
        ("Reg_pat1Image_132943", "Reg_pat1Image_133043"),
        ("Reg_pat11Image_1",),
        ("Pneu_liftl_pneu_case3_clip4", "Reg_liftl_pneucase3_clip1"),
        ("Cov_Atlas_Day_2", "Cov_Atlas_Day_4"),
        ("Cov_Atlas_43",),
        ("Cov_Atlas_44",),
        ("Pneu_northumbria_0409_set6_vid1", "Reg_northumbria_0409_set6_img6"),
        ("Pneu_northumbria_0409_set5_vid1",),
        ("Vir_file1", "Vir_or_Pneu_file4"),
    ]
    rows, names = ["file,clip,frame,label,probe,licence"], [name for own in people for name in own]
    for place, name in enumerate(names):
        rows.append(f"{name}.png,{name},0,covid,convex,x")
        grey(tmp_path / "frames" / f"{name}.png", smooth(99 if "file" in name else place))
    (tmp_path / "frames.csv").write_text("\n".join(rows))
    found = listed(set_of("pocus"), tmp_path)
    assert sorted(tuple(clip.study for clip in subject.series) for subject in found.values()) == sorted(people)


def test_clips_and_stills_of_one_person_are_one_subject(listed: Callable, tmp_path: Path):
    (tmp_path / "dataset_metadata.csv").write_text("Filename\n")
    for name in ("pocus_videos/convex/Pneu-case2-clip1.mp4", "pocus_images/linear/reg_Case2_clip3.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"0")
    (subject,) = listed(set_of("pocus"), tmp_path).values()
    assert [(each.labels["group"], each.study) for each in subject.series] == [
        ("bacterial_pneumonia", "pocus_videos/convex/Pneu-case2-clip1.mp4"),
        ("regular", "pocus_images/linear/reg_Case2_clip3.png"),
    ]
