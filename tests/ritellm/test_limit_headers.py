"""Limit headers: every form that providers send is read, and no value can stop a job."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritellm.limit_headers import LONGEST_WAIT, Budget, budgets, duration, oddities, retry_after

DATE = "Sun, 22 Nov 2026 20:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": " 2 "}, 2.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),  # the more exact one counts
        ({"retry-after-ms": "x", "retry-after": "1"}, 1.0),
        ({"retry-after": "Sun, 22 Nov 2026 20:00:30 GMT", "date": DATE}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 19:59:00 GMT", "date": DATE}, 0.0),
        ({"retry-after": "Sunday, 22-Nov-26 20:01:00 GMT", "date": DATE}, 60.0),  # RFC 850
        ({"retry-after": "Sun Nov 22 20:01:00 2026", "date": DATE}, 60.0),  # asctime: no zone
        ({"retry-after": "Sun, 22 Nov 2026 20:00:30 GMT"}, None),  # no `Date` to compare with
        ({"retry-after": "Sun, 22 Nov 2026 20:00:30 GMT", "date": "now"}, None),
        ({"date": DATE}, None),
    ],
)
def test_retry_after_is_read_in_seconds_milliseconds_and_as_a_date(headers, expected):
    assert retry_after(headers) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("retry-after", "1795377630", 30.0),
        ("retry-after", "1795377630000", 30.0),  # in milliseconds
        ("retry-after-ms", "1795377630000", 30.0),
        ("retry-after", "1795377590", 0.0),  # ten seconds ago
        ("retry-after", "2026-11-22T20:00:30Z", 30.0),
        ("retry-after", "2026-11-22T21:00:30.5+01:00", 30.0),
        ("retry-after", "1m30s", 90.0),
        ("retry-after", "22320", 22320.0),  # the rest of a day
        ("retry-after", "1000000000", None),  # a day in 2001
        ("retry-after", "9e99", None),
        ("retry-after", "1795377600000000000", None),  # nanoseconds
    ],
)
def test_a_time_is_read_against_the_date_of_the_response(name, value, expected):
    assert retry_after({name: value, "date": DATE}) == expected


@pytest.mark.parametrize(
    "value", ["1000000000", "1795377630", "-5", "nan", "inf", "-inf", "1e400", "soon", "5, 5"]
)
@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms", "x-ratelimit-reset-requests"])
def test_an_implausible_value_counts_as_absent(name, value):
    assert retry_after({name: value}) is None
    assert [budget.reset for budget in budgets({name: value})] in ([], [None])
    assert oddities({name: value}) == [f"{name}: '{value}' (ignored)"]


def test_a_wait_of_more_than_a_day_counts_as_a_day_and_is_reported():
    headers = {"retry-after": "172800", "x-ratelimit-reset-tokens": "72h"}
    assert retry_after(headers) == LONGEST_WAIT
    assert budgets(headers) == (Budget("tokens", None, LONGEST_WAIT),)
    assert oddities(headers) == [
        "retry-after: '172800' (taken as 86400 s)",
        "x-ratelimit-reset-tokens: '72h' (taken as 86400 s)",
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("120ms", 0.12),
        ("8.64s", 8.64),
        ("30", 30.0),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_durations_are_read_in_the_forms_of_rate_headers(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, ()),
        ({"content-type": "text/plain", "retry-after": "3"}, ()),
        (
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            (Budget("requests", 59.0, 1.0), Budget("tokens", 0.0, 360.0)),
        ),
        ({"x-ratelimit-remaining-tokens": "9"}, (Budget("tokens", 9.0, None),)),
        (
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795377601500", "date": DATE},
            (Budget("requests", 0.0, 1.5),),
        ),
        ({"ratelimit-remaining": "7", "ratelimit-reset": "3"}, (Budget("requests", 7.0, 3.0),)),
        (
            {
                "x-ratelimit-remaining-requests-day": "14399",
                "x-ratelimit-reset-requests-day": "33011.382867",
                "x-ratelimit-remaining-tokens-minute": "0",
                "x-ratelimit-reset-tokens-minute": "11.38",
            },
            (Budget("requests", 14399.0, 33011.382867), Budget("tokens", 0.0, 11.38)),
        ),
        (
            {
                "anthropic-ratelimit-requests-remaining": "3",
                "anthropic-ratelimit-requests-reset": "2026-11-22T20:00:12Z",
                "anthropic-ratelimit-output-tokens-remaining": "0",
                "anthropic-ratelimit-output-tokens-reset": "2026-11-22T20:01:00Z",
                "date": DATE,
            },
            (Budget("requests", 3.0, 12.0), Budget("tokens", 0.0, 60.0)),
        ),
        # A count below zero often means "unlimited"; it is never the number that is left.
        ({"x-ratelimit-remaining-requests": "-1"}, (Budget("requests", None, None),)),
    ],
)
def test_budgets_are_read_as_the_providers_write_them(headers, expected):
    assert budgets(headers) == expected


def test_valid_headers_are_not_reported():
    headers = {"retry-after": "7", "x-ratelimit-remaining-requests": "0", "date": DATE}
    assert oddities(headers) == []
    assert oddities({"content-type": "text/plain"}) == []


def test_a_report_shows_the_beginning_of_a_value_without_control_characters():
    (line,) = oddities({"retry-after": "\x1b[2J" + "9" * 500})
    assert line == "retry-after: '\\x1b[2J" + "9" * 36 + "...' (ignored)"


NAMES = [
    "retry-after",
    "retry-after-ms",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-remaining-tokens-day",
    "x-ratelimit-reset-tokens-day",
    "x-ratelimit-reset",
    "ratelimit-remaining",
    "ratelimit-reset",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
    "date",
]
NUMBERS = st.integers() | st.floats()
VALUES = st.one_of(
    st.text(max_size=20),
    NUMBERS.map(str),
    NUMBERS.map(lambda number: f"{number}s"),
    st.datetimes().map(lambda time: f"{time.isoformat()}Z"),
    st.lists(st.sampled_from("0 7 59 99999999999 . d h m s ms us".split())).map("".join),
    st.sampled_from([DATE, "2026-11-22T20:00:00+25:00", "2026", ":", "Sun, 0 0 0 0:0:0 +9999"]),
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_any_text_gives_none_or_a_value_within_bounds(headers):
    waits = [retry_after(headers), *(budget.reset for budget in budgets(headers))]
    waits.extend(map(duration, headers.values()))
    assert all(wait is None or 0 <= wait <= LONGEST_WAIT for wait in waits)
    counts = [budget.remaining for budget in budgets(headers)]
    assert all(count is None or 0 <= count < float("inf") for count in counts)
    assert len(oddities(headers)) <= len(headers)
