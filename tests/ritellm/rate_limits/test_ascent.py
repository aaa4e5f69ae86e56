"""The first growth of a window before a provider that refuses some requests."""

from __future__ import annotations

import pytest

from ritellm.rate_limits.ascent import Ascent
from ritellm.rate_limits.sample import Share

SOON, PATIENCE = 0.01, 0.02


def continues(ascent, share, *, run=1, largest=False, now=SOON):
    return ascent.continues(run, share, largest, PATIENCE, now)


def stepped(*shares):
    made = Ascent()
    for share in shares:
        made.stepped(share, PATIENCE, 0.0)
    return made


def test_the_first_refusals_wait_for_the_next_step():
    assert continues(Ascent(), Share(8, 32))


@pytest.mark.parametrize("refused", [20, 32])
def test_a_provider_that_refuses_most_requests_gets_no_more_of_them(refused):
    assert not continues(Ascent(), Share(refused, 32))


def test_a_long_run_of_refusals_ends_the_ascent():
    assert continues(Ascent(), Share(8, 32), run=8)
    assert not continues(Ascent(), Share(8, 32), run=12)


def test_no_step_follows_the_largest_window():
    assert not continues(Ascent(), Share(8, 32), largest=True)


def test_a_step_that_takes_too_long_ends_the_ascent():
    made = Ascent()
    assert continues(made, Share(8, 32), now=5.0)
    assert continues(made, Share(8, 32), now=5.05)
    assert not continues(made, Share(8, 32), now=5.07)


@pytest.mark.parametrize("refused", [10, 13, 18])
def test_a_larger_window_that_is_refused_as_often_shows_noise(refused):
    made, share = stepped(Share(7, 32)), Share(refused, 64)
    assert continues(made, share, largest=True)
    assert made.shows_noise(share)


@pytest.mark.parametrize("refused", [27, 32, 38])
def test_a_larger_window_that_is_refused_more_often_ends_the_ascent(refused):
    assert not continues(stepped(Share(7, 32)), Share(refused, 64))


def test_a_few_requests_of_the_last_step_show_nothing():
    made = stepped(Share(7, 32))
    assert continues(made, Share(8, 40), largest=True)
    assert not made.shows_noise(Share(8, 40))


def test_refusals_that_the_sample_has_forgotten_are_not_counted_as_negative():
    made = stepped(Share(50, 256))
    assert continues(made, Share(40, 200))
    assert not made.shows_noise(Share(40, 200))
