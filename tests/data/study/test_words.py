"""What descriptions of series, as hospitals write them, say of the view."""

import pytest

from jaxssl.data.study.words import stem, view_in

NAMES = {
    "sax": "sax_5|SA_stack|cine_segmented_sax|Short-Axis stack|kurze Achse|Kurzachse|korte as|petit axe|eje corto|SA3",
    "4ch": "4CH|cine_segmented_4ch|tf2d_4ch_retro|LAX4ch|CINE_4CH2|4 chamber|4-Kammerblick|Vierkammerblick|HLA"
    "|4 cavités",
    "2ch": "2CH|2_chamber|VLA|Zweikammerblick|two-chamber|LAX 2ch|vertical long axis|2 cámaras",
    "3ch": "3CH|3-chamber|apical long axis|AP LAX|3CH LVOT|LVOT_3ch|drei Kammern",
    "lvot": "LVOT|lvot cor|LV outflow tract",
    "rvot": "RVOT|RV outflow tract|right ventricular outflow|sag_rvot",
    "rv2ch": "rv_2ch|2CH RV|RVLA|RV VLA|RV inflow",
    "": "|localizer|sag t1|PD SAG|saturation|iPAT 4 channels|12ch coil|t1_14ch|LAX"
    "|2CH 4CH planning|SAX from 4ch|RVOT 2ch",
}


@pytest.mark.parametrize(("view", "about"), [(view, a) for view, names in NAMES.items() for a in names.split("|")])
def test_words_name_one_view_or_none(view, about):
    assert view_in(about) == view


def test_slices_of_one_stack_have_the_same_stem_and_other_sequences_have_not():
    assert stem("Cine_SAX_b1") == stem("cine sax B-12") == "cine sax b"
    assert stem("SAX basal") == stem("sax apex 2") == stem("SAX") == "sax"
    assert stem("LGE SAX 3") != stem("cine SAX 3")
