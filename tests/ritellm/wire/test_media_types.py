"""Media types are sent in the spelling that servers accept."""

from __future__ import annotations

import orjson
import pytest
from bodies import filed, sent

MEDIA = {
    "image/jpg": "image/jpeg",
    "image/JPEG": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/PNG": "image/png",
    "image/png;charset=utf-8": "image/png",
    "IMAGE/X-PNG; q=1": "image/png",
    "image/webp": "image/webp",
}
IMAGES = ["openai/m", "mistral/m", "openai/responses/m", "anthropic/m", "gemini/m", "bedrock/m"]
IMAGES += ["cohere/m", "vertex_ai/claude-m"]


def shown(kind, scheme="data"):
    """Return a message with an image whose media type is `kind`."""
    image = {"url": f"{scheme}:{kind};base64,/9j/4GpwZWc="}
    text = {"type": "text", "text": "what?"}
    return [{"role": "user", "content": [text, {"type": "image_url", "image_url": image}]}]


@pytest.mark.parametrize("model", IMAGES)
@pytest.mark.parametrize("given", MEDIA)
def test_the_media_type_of_an_image_has_its_registered_spelling(model, given):
    assert sent(model, shown(given)) == sent(model, shown(MEDIA[given]))
    assert MEDIA[given].partition("/")[2] in orjson.dumps(sent(model, shown(given))).decode()


def test_the_scheme_of_a_data_url_may_be_in_upper_case():
    for model in IMAGES:
        assert sent(model, shown("image/png", "DATA")) == sent(model, shown("image/png"))


@pytest.mark.parametrize(
    ("model", "given", "kind"),
    [
        ("gemini/m", "video/MP4;codecs=avc1", "video/mp4"),
        ("gemini/m", "audio/x-wav", "audio/wav"),
        ("gemini/m", "application/PDF;x=1", "application/pdf"),
    ],
)
def test_the_media_type_of_a_file_has_its_registered_spelling(model, given, kind):
    [turn] = sent(model, filed(f"data:{given};base64,AAAA"))["contents"]
    assert turn["parts"] == [{"inlineData": {"mimeType": kind, "data": "AAAA"}}]


@pytest.mark.parametrize("given", ["wav", "WAV", "audio/wav", "audio/x-wav", "x-wav"])
@pytest.mark.parametrize("model", ["openai/m", "gemini/m", "bedrock/m"])
def test_a_format_of_audio_may_be_a_media_type(model, given):
    def heard(kind):
        audio = {"type": "input_audio", "input_audio": {"format": kind, "data": "AAAA"}}
        return [{"role": "user", "content": [{"type": "text", "text": "what?"}, audio]}]

    assert sent(model, heard(given)) == sent(model, heard("wav"))


def test_a_format_that_the_caller_names_has_its_registered_spelling():
    image = {"type": "image_url", "image_url": {"url": "https://x/a", "format": "image/JPG"}}
    [turn] = sent("gemini/m", [{"role": "user", "content": [image]}])["contents"]
    assert turn["parts"] == [{"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x/a"}}]


def test_a_text_is_read_by_its_charset():
    latin = "data:text/plain;charset=ISO-8859-1;base64,WvxyaWNo"
    [turn] = sent("anthropic/m", filed(latin))["messages"]
    assert turn["content"][0]["source"]["data"] == "Zürich"
    utf8 = "data:text/plain;base64,WsO8cmljaA=="
    for model in ("gemini/m", "bedrock/m"):
        assert sent(model, filed(latin)) == sent(model, filed(utf8))


@pytest.mark.parametrize(
    ("kind", "format"),
    [
        ("image/JPG", {"image": {"format": "jpeg", "source": {"bytes": "AAAA"}}}),
        ("video/quicktime", {"video": {"format": "mov", "source": {"bytes": "AAAA"}}}),
        ("audio/x-wav", {"audio": {"format": "wav", "source": {"bytes": "AAAA"}}}),
        (
            "application/json",
            {"document": {"format": "txt", "name": "document", "source": {"bytes": "AAAA"}}},
        ),
    ],
)
def test_bedrock_gets_a_file_as_what_it_is(kind, format):
    [turn] = sent("bedrock/m", filed(f"data:{kind};base64,AAAA"))["messages"]
    assert turn["content"][0] == format


@pytest.mark.parametrize("model", IMAGES)
def test_the_address_of_an_image_may_be_a_text(model):
    def asked(image):
        return [{"role": "user", "content": [{"type": "image_url", "image_url": image}]}]

    url = "data:image/png;base64,AAAA"
    assert sent(model, asked(url)) == sent(model, asked({"url": url}))


def test_bedrock_takes_a_video_as_an_address_in_any_spelling():
    video = {"type": "video_url", "video_url": {"url": "data:video/MP4;codecs=x;base64,AAAA"}}
    [turn] = sent("bedrock/m", [{"role": "user", "content": [video]}])["messages"]
    assert turn["content"] == [{"video": {"format": "mp4", "source": {"bytes": "AAAA"}}}]
