"""Which words may say who somebody is, or when they were examined, and which say nothing of the kind."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxssl.data.personal import is_personal, told

WAYS = [
    *("%Y-%m-%d", "%Y%m%d", "%Y_%m_%d", "%d.%m.%Y", "%m/%d/%Y", "%d_%m_%Y", "%d/%m/%y", "%m/%d/%y"),
    *("%d %b %Y", "%d-%B-%Y", "%d%b%Y", "%b %d, %Y", "%B %dth, %Y", "%b_%d_%Y"),
]


@pytest.mark.parametrize("way", WAYS)
@given(day=st.dates(datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)))
def test_a_date_is_found_however_it_is_written(way, day):
    text = day.strftime(way)
    assert list(told(text)) == ["a date"]
    assert list(told(f"seen on {text}, again later")) == ["a date"]


@pytest.mark.parametrize("value", ["MRN0012345", "P1234567", "id-123456", "1234567", "DOE^JOHN", "ada@clinic.org"])
def test_numbers_of_hospitals_and_names_are_no_labels(value):
    assert is_personal(value)


@pytest.mark.parametrize(
    "value",
    [
        *("DCM", "heart failure with infarction", "SAG_3D_DESS", "CC BY-NC-SA 4.0", "b_lines", "12/34", "1.5 T"),
        *("Siemens Trio", "decoder 2 of 2019", "v10.11.12", "25-75", "covid 19", "march past", "2015/16"),
        *("https://www.ncbi.nlm.nih.gov/pmc/articles/PMC7192103", "doi 10.1007/s00134020"),
    ],
)
def test_labels_are_left_alone(value):
    assert not is_personal(value)
