"""The errors under litellm's module name: `from ritellm.exceptions import RateLimitError`."""

from ritellm.errors import *  # noqa: F403
