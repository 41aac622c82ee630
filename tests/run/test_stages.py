"""When a stage of a sweep is done, and who does it."""

import pytest

from jaxssl import config
from jaxssl.run import stages
from jaxssl.run.stages import Place
from jaxssl.sweep import Stage


def test_a_stage_that_another_has_finished_meanwhile_is_left_alone(journal, tmp_path, monkeypatch):
    place = Place(tmp_path / "sweep", Stage("phantom", "cine"))

    def done_at_the_second_look(folder, options) -> bool:
        there = folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        return there

    monkeypatch.setitem(stages.DOINGS, "phantom", stages.DOINGS["phantom"]._replace(done=done_at_the_second_look))
    place.do(0.0, lambda: pytest.fail("it is done already"))
    assert not journal.exists()
    assert not place.facts


@pytest.mark.parametrize(
    ("verb", "file", "said", "same", "other"),
    [
        (
            "probe",
            "probe-2.json",
            {"target": "vendor", "knn": {"k": 20, "temperature": 0.07}},
            ({"target": "vendor"}, {"target": "vendor", "k": 20}),
            ({}, {"target": "vendor", "k": 5}, {"target": "vendor", "temperature": 0.1}),
        ),
        (
            "saliency",
            "saliency-validation.json",
            {"on": "validation", "map": "gradcam", "usual": True},
            ({"on": "validation"}, {"on": "validation", "map": "gradcam"}),
            ({}, {"on": "test", "map": "gradcam"}, {"on": "validation", "map": "gradients"}),
        ),
        (
            "saliency",
            "saliency-gradients.json",
            {"on": "test", "map": "gradients", "usual": False},
            ({"map": "gradients"},),
            ({}, {"map": "gradcam"}),
        ),
        (
            "bench",
            "step.jsonl",
            {"asked": {"rounds": 7, "seconds": 0.5, "profile": False}},
            ({}, {"rounds": 7}),
            ({"rounds": 2}, {"seconds": 1.0}, {"profile": True}),
        ),
    ],
)
def test_a_question_is_done_where_a_file_says_that_it_was_asked_so(verb, file, said, same, other, tmp_path):
    run = Stage("pretrain", "mim")
    run.folder(tmp_path).mkdir(parents=True)
    places = {True: [Place(tmp_path, Stage(verb, run, options)) for options in same]}
    places[False] = [Place(tmp_path, Stage(verb, run, options)) for options in other]
    assert not any(place.done for some in places.values() for place in some)
    config.write_json(said, run.folder(tmp_path) / file)
    for done, some in places.items():
        assert [place.done for place in some] == [done] * len(some)
