"""One answer as it grows: each reader gets each byte of one text once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.serve_deltas.growing_text import GrowingText
from pipelines.serve_deltas.piece import Piece
from pipelines.serve_deltas.position import Position, parse_position

EMPTY = b'{"choices":[]}'


def piece(seq, text="", rank=(7, 1), **fields):
    return Piece(rank, seq, text, EMPTY, **fields)


def pieces_of(texts, rank=(7, 1)):
    """Return the pieces of a whole answer."""
    made = [piece(seq, text, rank) for seq, text in enumerate(texts)]
    return [*made, piece(len(made), rank=rank, final=True)]


class Reader:
    """What a reader has."""

    def __init__(self):
        self.text, self.position, self.resets, self.ends = "", None, 0, 0

    def look(self, text):
        news = text.since(self.position)
        if news is None:
            return
        if news.is_reset:
            self.text, self.resets = "", self.resets + 1
        self.text += news.text
        self.position = news.position
        self.ends += news.ending is not None


def grown(*pieces):
    text = GrowingText()
    text.add(pieces)
    return text


texts = st.lists(st.text(max_size=5), max_size=12)
# Which readers look after each piece.
looks = st.lists(st.sets(st.integers(0, 3)), min_size=40, max_size=40)


@given(texts, looks)
def test_any_number_of_readers_that_look_at_any_time_get_each_byte_once(texts, looks):
    text, readers = GrowingText(), [Reader() for _ in range(4)]
    for each, who in zip(pieces_of(texts), looks, strict=False):
        text.add([each])
        for number in who:
            readers[number].look(text)
    for reader in readers:
        reader.look(text)
        assert (reader.text, reader.resets, reader.ends) == ("".join(texts), 0, 1)


@given(texts, st.data())
def test_repeated_and_reordered_pieces_of_a_stream_that_is_read_again_change_nothing(texts, data):
    pieces, text = pieces_of(texts), GrowingText()
    end = 0
    while end < len(pieces):
        start = data.draw(st.integers(0, end))
        end = data.draw(st.integers(end + 1, len(pieces)))
        text.add(pieces[start:end])
    assert list(text.pieces) == pieces


@given(texts, texts, st.data())
def test_a_reader_of_a_void_text_gets_one_reset_and_then_all_of_the_new_one(old, new, data):
    rank = data.draw(st.sampled_from([(7, 2), (8, 1)]))
    kept = data.draw(st.integers(1, len(old))) if old else 0
    text, reader = grown(*pieces_of(old)[:kept]), Reader()
    reader.look(text)
    had = reader.position is not None
    for each in pieces_of(new, rank):
        text.add([each])
        if data.draw(st.booleans()):
            reader.look(text)
    reader.look(text)
    assert (reader.text, reader.resets) == ("".join(new), int(had))


@given(texts, st.data())
def test_a_position_of_one_server_is_good_at_another_one(texts, data):
    pieces = pieces_of(texts)
    here = grown(*pieces[: data.draw(st.integers(1, len(pieces)))])
    reader = Reader()
    reader.look(here)
    reader.position = parse_position(str(reader.position))
    reader.look(grown(*pieces))
    assert (reader.text, reader.resets) == ("".join(texts), 0)


def test_a_reader_that_is_ahead_of_this_server_gets_nothing_twice():
    text = grown(piece(0, "a"))
    ahead = Position(7, 1, 2)
    assert text.is_behind(ahead)
    assert text.since(ahead) is None
    text.add([piece(1, "b"), piece(2, "c")])
    assert text.since(ahead).text == "c"


def test_no_piece_is_shown_after_a_gap():
    text = grown(piece(0, "a"), piece(2, "c"))
    assert text.since(None).text == "a"
    text.add([piece(1, "b"), piece(2, "c")])
    assert text.since(None).text == "abc"


def test_pieces_of_an_older_attempt_are_dropped():
    text = grown(piece(0, "new", (7, 2)), piece(0, "old", (7, 1)), piece(1, "old", (7, 1)))
    assert text.since(None).text == "new"


def test_a_whole_answer_that_the_journal_replays_stays_as_it_is():
    text = grown(*pieces_of(["a", "b"]))
    assert not text.add(pieces_of(["ab"], rank=(7, 2)))
    assert text.tail == Position(7, 1, 3)


def test_a_whole_answer_is_replaced_by_that_of_a_newer_submission():
    text, reader = grown(*pieces_of(["a"])), Reader()
    reader.look(text)
    text.add(pieces_of(["b"], rank=(8, 1)))
    reader.look(text)
    assert (reader.text, reader.resets, reader.ends) == ("b", 1, 2)


def test_a_text_whose_beginning_was_trimmed_is_not_shown_until_another_begins():
    text = grown(piece(5, "the middle"))
    assert text.is_beheaded
    assert text.since(None) is None
    text.add(pieces_of(["whole"], rank=(7, 2)))
    assert not text.is_beheaded
    assert text.since(None).text == "whole"


def test_the_ending_says_why_and_what_it_cost():
    last = (
        b'{"choices":[{"index":0,"delta":{},"finish_reason":"length"}],"usage":{"total_tokens":3}}'
    )
    text = grown(piece(0, "a"), Piece((7, 1), 1, "", last), piece(2, final=True))
    assert text.ending.fields == {
        "outcome": "finished",
        "finish_reason": "length",
        "usage": {"total_tokens": 3},
    }


def test_a_stopped_answer_ends_as_stopped():
    last = b'{"choices":[{"index":0,"delta":{},"finish_reason":"stopped"}]}'
    text = grown(piece(0, "a"), Piece((7, 1), 1, "", last, final=True))
    assert text.ending.outcome == "stopped"


def test_a_failed_prompt_ends_as_failed_and_a_newer_submission_replaces_it():
    text = grown(piece(0, "a"), piece(1, failed="RateLimitError"))
    assert text.ending.fields == {"outcome": "failed", "error_type": "RateLimitError"}
    assert text.add([piece(0, "b", (8, 1))])
    assert text.ending is None


def test_a_prompt_that_failed_before_its_first_delta_has_an_end():
    text = grown(Piece((1, 0), 0, "", EMPTY, failed="DuplicateIdError"))
    assert text.since(None).ending.error_type == "DuplicateIdError"


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_positions_survive_as_text(order, attempt, next):
    position = Position(order, attempt, next)
    assert parse_position(str(position)) == position


positions = st.builds(
    Position, st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)
)


@given(positions, positions)
def test_positions_sort_as_text_like_the_deltas_that_they_stand_before(one, other):
    assert (one < other) == (str(one) < str(other))


def test_any_other_text_is_no_position():
    for text in ("", "7", "-1", "now", "0" * 34, f"{Position(1, 1, 1)}\n", "\u0661" * 34):
        assert parse_position(text) is None
