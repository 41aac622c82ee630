"""The demo at its smallest, end to end, and once more where everything is there already."""

import importlib.util
from pathlib import Path

DEMO = Path(__file__).parents[2] / "experiments" / "demo.py"


def test_the_demo_makes_its_page_and_goes_on_where_it_was(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    arguments = {"store": tmp_path / "store", "runs": tmp_path / "runs", "variant": "tiny", "subjects": 10}
    page = demo.main(**arguments)
    text = page.read_text()
    assert all(word in text for word in ("scratch", "from-mim", "synthetic"))
    first = capsys.readouterr().err
    assert "against scratch" in first
    assert "Next" in first
    demo.main(**arguments)
    assert capsys.readouterr().err.count("is finished already") == 3
