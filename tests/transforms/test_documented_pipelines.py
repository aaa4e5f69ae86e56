"""Pipelines of Beam's own documentation, with a model dropped in between their steps.

They are written after the documented patterns: word count, language modelling with RunInference,
and the hourly scores of a game as a stream.
"""

from __future__ import annotations

import re

import apache_beam as beam
import orjson
from apache_beam.ml.inference.base import PredictionResult, RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_stream
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from fake_server import api_error, chat_stream

from transforms import CompletePrompts, Prompt, RitellmModelHandler


def ask(id, text, row=None):
    body = {"messages": [{"role": "user", "content": text}]}
    return Prompt(id, orjson.dumps(body).decode(), row and orjson.dumps(row).decode())


def asked(request):
    return request.json["messages"][-1]["content"]


# Word count: https://beam.apache.org/get-started/wordcount-example/


class CountWords(beam.PTransform):
    """`line -> (word, count)`, as in Beam's first example."""

    def expand(self, lines):
        return (
            lines
            | beam.FlatMap(lambda line: re.findall(r"[\w']+", line, re.UNICODE))
            | beam.combiners.Count.PerElement()
        )


def test_word_count_over_translated_lines(fake_server, tmp_path):
    words = {"the sea": "la mer", "the moon": "la lune", "the tide": "la marée"}
    fake_server.script = lambda request: chat_stream(words[asked(request)])
    (tmp_path / "in.txt").write_text("\n".join(words))
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
        lines = p | beam.io.ReadFromText(str(tmp_path / "in.txt"))
        prompts = lines | "Ask" >> beam.Map(lambda line: ask(line, line)).with_output_types(Prompt)
        translated = prompts | CompletePrompts("openai/m", base_url=fake_server.base_url)
        counts = translated.completions | beam.Map(lambda row: row.text) | CountWords()
        formatted = counts | beam.MapTuple(lambda word, count: f"{word}: {count}")
        formatted | beam.io.WriteToText(str(tmp_path / "counts"), shard_name_template="")
        assert_that(translated.dead_letters, equal_to([]))
    lines = (tmp_path / "counts").read_text().split("\n")
    assert sorted(filter(None, lines)) == ["la: 3", "lune: 1", "marée: 1", "mer: 1"]


# Language modelling: https://beam.apache.org/documentation/ml/large-language-modeling/


class PostProcess(beam.DoFn):
    """Formats predictions, as Beam's examples of RunInference do."""

    def process(self, element):
        sentence, prediction = element
        assert isinstance(prediction, PredictionResult)
        word = prediction.inference.choices[0].message.content
        yield f"{sentence} -> {word}"


def masked(sentence):
    """Return the sentence as a key, and the sentence without its last word."""
    return sentence, " ".join([*sentence.split()[:-1], "<mask>"])


def test_masked_words_by_run_inference(fake_server):
    def guess(request):
        text = asked(request)
        if "Drink" in text:
            return api_error(400, "invalid_request_error", "x", "No.")
        return chat_stream("Paris" if "France" in text else "blue")

    fake_server.script = guess
    handler = RitellmModelHandler("openai/m", base_url=fake_server.base_url, max_tokens=5)
    sentences = ["The capital of France is Paris .", "The sky is blue .", "Drink poison ."]
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
        predictions, dead = (
            p
            | "Read" >> beam.Create(sentences)
            | "Mask" >> beam.Map(lambda sentence: masked(sentence.removesuffix(" .")))
            | "Predict" >> RunInference(handler.keyed()).with_exception_handling()
        )
        found = predictions | "PostProcess" >> beam.ParDo(PostProcess())
        wanted = ["The capital of France is Paris -> Paris", "The sky is blue -> blue"]
        assert_that(found, equal_to(wanted))
        failed = dead.failed_inferences | beam.Map(lambda row: row[0])
        masked_row = ("Drink poison", "Drink <mask>")
        assert_that(failed, equal_to([[masked_row]]), label="failed")


# Hourly scores of a game: https://beam.apache.org/get-started/mobile-gaming-example/


class HourlyTeamScores(beam.PTransform):
    """`"team,score" -> (team, sum)` in windows of an hour, as in Beam's game."""

    def expand(self, events):
        return (
            events
            | "Parse" >> beam.Map(lambda line: (line.split(",")[0], int(line.split(",")[1])))
            | "Hours" >> beam.WindowInto(FixedWindows(3600))
            | beam.CombinePerKey(sum)
        )


class WithHour(beam.DoFn):
    """Adds the hour of the window, as the examples of the game do."""

    def process(self, row, window=beam.DoFn.WindowParam):
        team, score = orjson.loads(row.input)
        yield int(window.start) // 3600, team, score, row.text


def comment_on(score):
    team, points = score
    return ask(team, f"Comment on {points} points of the {team} team.", [team, points])


def test_comments_on_the_hourly_scores_of_a_stream_stay_in_their_hour(fake_server):
    fake_server.script = lambda request: chat_stream(asked(request).replace("Comment on", "Wow:"))
    events = (
        test_stream.TestStream()
        .advance_watermark_to(0)
        .add_elements([TimestampedValue("red,3", 10), TimestampedValue("blue,5", 20)])
        .add_elements([TimestampedValue("red,4", 3500)])
        .advance_watermark_to(3600)
        .add_elements([TimestampedValue("red,1", 3700)])
        .advance_watermark_to_infinity()
    )
    options = PipelineOptions(["--runner=BundleBasedDirectRunner", "--streaming"])
    with beam.Pipeline(options=options) as p:
        scores = p | events.with_output_types(str) | HourlyTeamScores()
        prompts = scores | "Ask" >> beam.Map(comment_on).with_output_types(Prompt)
        comments = prompts | CompletePrompts("openai/m", base_url=fake_server.base_url)
        # The windows are kept, so a later step groups by them.
        hours = comments.completions | beam.ParDo(WithHour())
        wanted = [
            (0, "red", 7, "Wow: 7 points of the red team."),
            (0, "blue", 5, "Wow: 5 points of the blue team."),
            (1, "red", 1, "Wow: 1 points of the red team."),
        ]
        assert_that(hours, equal_to(wanted))
    assert len(fake_server.requests) == 3
