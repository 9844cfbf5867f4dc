"""File ids: what certainly is none, and what may be one."""

from __future__ import annotations

import pytest

from batcher.manifest.encoded_keys import encoded_keys, odd_keys
from batcher.manifest.formats.table import lost_digits
from batcher.manifest.id_rules import id_fault
from batcher.manifest.placeholders import WRITTEN_BY, is_placeholder
from batcher.manifest.rounded_ids import Verdict
from batcher.model.submission import CountedBy, FileId, Parameters, Row, SnapshotType, Vendor

SAMPLED = Parameters(Vendor.HUAWEI, SnapshotType.SAMPLE, "", "2")


WRITTEN = sorted({text for texts in WRITTEN_BY.values() for text in texts})
IN_OTHER_FORMS = [
    *(
        "NaN",
        "Null",
        "NULL",
        "N/A",
        "-",
        "--",
        "…",
        "?",
        "/",
        "NoneType",
        "pd.NA",
        "[object Object]",
        "Not_Found",
    ),
    *(
        "(null)",
        "[NULL]",
        "<null>",
        "<NA>",
        "(空)",
        "（空）",
        "【空】",
        "ＮＵＬＬ",
        "Ｎ／Ａ",
        "<class 'NoneType'>",
    ),
    *("[object Undefined]", "[Ljava.lang.String;@1b6d3586", "java.lang.Object@7a81197d", "%!s(<nil>)"),
    *("<object object at 0x7f3c2a>", "#DIV/0!", "#REF!", "#WERT!", "#¡VALOR!", "##########", "${file_id}"),
    *("{{ file_id }}", "0", "00", "0.0", "-0", "０", "00000000-0000-0000-0000-000000000000"),
    *("0000-00-00 00:00:00", "0000-00-00T00:00:00Z", "__HIVE_DEFAULT_PARTITION__", "&nbsp;"),
]


@pytest.mark.parametrize("text", [*WRITTEN, *IN_OTHER_FORMS])
@pytest.mark.parametrize("vendor", [*Vendor, None])
def test_placeholder_is_no_id_of_any_vendor(text: str, vendor: Vendor | None) -> None:
    """In any case and width of letters, in brackets, and text without a letter or digit."""
    assert id_fault(text, text, vendor) == f"{text} is a placeholder for a missing value, not a file id"


@pytest.mark.parametrize("text", WRITTEN)
def test_placeholder_in_capitals_and_brackets_is_one(text: str) -> None:
    """The table holds each of them once."""
    assert is_placeholder(text.upper())
    assert is_placeholder(f"({text})")


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "nan.mp4",
        "0.mp4",
        "1",
        "01",
        "/0",
        "0/0",
        "-12",
        "T0",
        "room",
        "test",
        "object Object",
        "${room}/a.mp4",
        "<a> at noon",
        "#1",
        "null/a.mp4",
        "/record/NaN",
        "record/数学 一班/a.mp4",
        '/it\'s "b".mp4',
        "“a” and b.mp4",
        "a\u00a0b.mp4",
        "/100%/a.mp4",
        "/a\\b.mp4",
        "/https://a.mp4",
        "room:/a.mp4",
        "/é\u0301.mp4",
        "/🎬\ufe0f👩\u200d💻.mp4",
        "/1\ufe0f\u20e3.mp4",
        "/葛\U000e0100.mp4",
        "1397757898183024945",
        "record/",
    ],
)
def test_key_that_may_exist_is_accepted(key: str) -> None:
    """A Huawei key may hold almost any character."""
    assert id_fault(key, key, Vendor.HUAWEI) is None


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("/a\u200b.mp4", "holds an invisible character (U+200B)"),
        ("\u200d/a.mp4", "holds an invisible character (U+200D)"),
        ("/a\u200db.mp4", "holds an invisible character (U+200D)"),
        ("/a\ufe0f.mp4", "holds an invisible character (U+FE0F)"),
        ("/a\u2800.mp4", "holds an invisible character (U+2800)"),
        ("/a\U000e0041.mp4", "holds an invisible character (U+E0041)"),
        ("/a\x1b.mp4", "holds a control character or a line end"),
        ("/a\ufffd.mp4", "holds U+FFFD: a program could not read a character"),
        ("OBS://bucket/a.mp4", "is a URL"),
        ("https:/bucket/a.mp4", "is a URL"),
        ("b.obs.cn-north-4.myhuaweicloud.com/a.mp4", "is a URL"),
        ("‘/a.mp4’", "is in quotation marks"),
        ("«/a.mp4»", "is in quotation marks"),
    ],
)
def test_text_that_is_no_key_is_refused(key: str, reason: str) -> None:
    """With what it is instead."""
    assert reason in (id_fault(key, key, Vendor.HUAWEI) or "")


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("1397757898183024945.0", True),
        ("1397757898183024945,00", True),
        ("123.", True),
        ("1397757898183024896.0", False),
        ("1397757898183020000.0", False),
        ("1397757897438985100.0", False),
        ("123.5", False),
        ("1.39776E+18", False),
    ],
)
def test_reason_for_a_decimal_point_says_what_is_true(text: str, whole: bool) -> None:
    """Digits that no program could have rounded to may be whole."""
    assert ("may be whole" in lost_digits(text)) is whole
    assert ("has lost its digits" in lost_digits(text)) is not whole


def rows_of(*keys: str) -> list[Row]:
    """Huawei rows."""
    return [Row(line, FileId(key), SAMPLED, None) for line, key in enumerate(keys, 2)]


PLAIN = [f"/record/{number}.mp4" for number in range(99)]


@pytest.mark.parametrize(
    ("keys", "verdict"),
    [
        (PLAIN, Verdict.FINE),
        ([*PLAIN, "/a%20b.mp4"], Verdict.WARN),
        ([*PLAIN, "/a%20b.mp4", "/c%2Fd.mp4"], Verdict.REFUSE),
        ([*PLAIN, "/a\\b.mp4", "/c\\d.mp4"], Verdict.REFUSE),
        (["/a%E6%95%B0.mp4"], Verdict.REFUSE),
        (["\\a\\b.mp4", "/c.mp4"], Verdict.REFUSE),
        (["/a\\b.mp4", "/c.mp4"], Verdict.WARN),
        (["/100%/a.mp4"], Verdict.FINE),
        ([*PLAIN, "/a\u00a0b.mp4"], Verdict.WARN),
        ([*PLAIN, "/a\u00a0b.mp4", "/c\u2003d.mp4"], Verdict.REFUSE),
        (["/a\u00a0b.mp4"], Verdict.REFUSE),
        (["/数学\u3000一班.mp4", "/at 9.41\u202fAM.mp4"], Verdict.FINE),
    ],
)
def test_more_than_one_percent_of_encoded_keys_refuse_a_manifest(keys: list[str], verdict: Verdict) -> None:
    """Of a few keys, one backslash in a name with slashes is no sign."""
    assert encoded_keys(rows_of(*keys), CountedBy.LINE)[0] is verdict


def test_keys_that_are_probably_a_mistake_are_a_warning() -> None:
    """Digits alone, and folders."""
    assert odd_keys(rows_of("123", "record/", "/a.mp4"), CountedBy.LINE) == [
        "1 of 3 Huawei ids are digits only, as Tencent's are; check the vendor (first on line 2: 123)",
        "1 of 3 Huawei ids end in /, as folders do (first on line 3: record/)",
    ]
