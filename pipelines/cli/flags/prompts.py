"""The flags that say how a row becomes a prompt."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from typing import Any

from pipelines.errors import UsageError
from pipelines.filesystem import is_local, reason
from pipelines.inputs.columns import PARAMETERS
from pipelines.inputs.row_form import RowForm
from ritellm.suggest import did_you_mean
from transforms.prompts.form import Form
from transforms.prompts.images import Images
from transforms.prompts.shots import NO_SHOTS, Shots, shots_in
from transforms.prompts.template import Template

# The largest file of a template or of examples.
_MOST_BYTES = 4 << 20


def add_prompt_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags that both programs have."""
    prompts = parser.add_argument_group("prompts")
    prompts.add_argument(
        "--prompt_template",
        metavar="TEXT|@FILE",
        help="a Jinja2 template of the prompt over the columns of a row, for example 'Translate:"
        " {{ text }}', or @ and the file with the template; needs the extra 'template'. The row's"
        " own prompt, messages and body are not used",
    )
    prompts.add_argument(
        "--system_template",
        "--system",
        metavar="TEXT|@FILE",
        help="a template of the system message, or a plain text; a system message of the row takes"
        " precedence",
    )
    prompts.add_argument(
        "--shots",
        metavar="FILE",
        help="example messages that go before the message of each row: a JSON list, or a message"
        " on each line; the last one is of the assistant",
    )
    prompts.add_argument(
        "--images",
        metavar="COLUMN",
        help="the column with the image of a row, or a list of images: an http, https, gs or data"
        " address, bytes of a Parquet column, base64, or a path below --images_root",
    )
    prompts.add_argument(
        "--images_root",
        metavar="FOLDER",
        help="the folder of the paths in --images, on the workers or in a bucket; no file outside"
        " of it is read",
    )
    prompts.add_argument(
        "--id_column",
        metavar="COLUMN",
        help="the column with the id of a row, a text or a whole number (default: id or custom_id,"
        " if a row has it)",
    )
    prompts.add_argument(
        "--param_columns",
        type=_names,
        metavar="COLUMNS",
        help="the columns that are parameters of the request, joined by commas, for example"
        " max_tokens,temperature; with --prompt_template no other column is one",
    )


def add_column_option(parser: Any) -> None:
    """Add the flag of the columns that are carried to the output."""
    parser.add_argument(
        "--columns",
        type=_names,
        metavar="COLUMNS",
        help="the columns of a row that its completion carries under 'input', joined by commas"
        " (default: all). Failed rows also keep those that the request needs",
    )


def _names(text: str) -> str:
    names = text.split(",")
    if not all(name.strip() for name in names) or len({*names}) < len(names):
        raise argparse.ArgumentTypeError(f"must be different names joined by commas, got {text!r}")
    return text


def split_names(text: str | None) -> tuple[str, ...]:
    """Return the names that a flag joins by commas."""
    return () if text is None else tuple(name.strip() for name in text.split(","))


def row_form(known_args: argparse.Namespace) -> RowForm:
    """Return how rows become prompts; raises UsageError."""
    params = split_names(known_args.param_columns)
    for name in params:
        if name not in PARAMETERS:
            near = did_you_mean(name, PARAMETERS)
            raise UsageError(f"--param_columns: a row cannot set {name!r} for its request{near}")
    if params and known_args.prompt_template is None:
        raise UsageError(
            "--param_columns needs --prompt_template; without it, each column with the name of a"
            " parameter is one"
        )
    columns = getattr(known_args, "columns", None)
    return RowForm(
        _form(known_args),
        known_args.id_column,
        params,
        None if columns is None else split_names(columns),
    )


def _form(known_args: argparse.Namespace) -> Form:
    template = _template("--prompt_template", known_args.prompt_template)
    if template is not None and not template.columns and not template.uses_row:
        raise UsageError("--prompt_template must name a column, such as {{ text }}")
    images, root = known_args.images, known_args.images_root
    if root is not None and images is None:
        raise UsageError("--images_root needs --images, the column with the paths")
    try:
        return Form(
            template=template,
            system_template=_template("--system_template", known_args.system_template),
            images=None if images is None else Images(images, root),
            shots=_shots(known_args.shots),
        )
    except ValueError as error:
        raise UsageError(f"--shots: {error}") from None


def _template(flag: str, text: str | None) -> Template | None:
    if text is None:
        return None
    if text.startswith("@"):
        # An editor ends a file with a newline, which is not a part of the prompt.
        text = read_file(flag, text[1:]).removesuffix("\n").removesuffix("\r")
    try:
        return Template(text, flag)
    except (ImportError, ValueError) as error:
        raise UsageError(str(error)) from None


def _shots(path: str | None) -> Shots:
    if path is None:
        return NO_SHOTS
    try:
        return shots_in(read_file("--shots", path), f"--shots {path}")
    except ValueError as error:
        raise UsageError(str(error)) from None


def read_file(flag: str, path: str) -> str:
    """Return the text of the file that `flag` names; raises UsageError."""
    try:
        with _opened(path) as file:
            data = file.read(_MOST_BYTES + 1)
    except Exception as error:
        raise UsageError(f"cannot read {flag} {path}: {reason(error)}") from None
    if len(data) > _MOST_BYTES:
        raise UsageError(f"{flag} {path}: the file must have at most {_MOST_BYTES:,} bytes")
    try:
        return str(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UsageError(f"{flag} {path}: the file must be UTF-8") from None


def _opened(path: str) -> Any:
    if is_local(path):
        return open(path, "rb")
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def columns_by_flag(rows: RowForm) -> Mapping[str, Collection[str]]:
    """Return the columns that each flag names."""
    form = rows.form
    found: dict[str, Any] = {
        "--prompt_template": form.template and form.template.columns,
        "--system_template": form.system_template and form.system_template.columns,
        "--images": form.images and (form.images.column,),
        "--id_column": rows.id_column and (rows.id_column,),
        "--param_columns": rows.param_columns,
        "--columns": rows.columns,
    }
    return {flag: names for flag, names in found.items() if names}
