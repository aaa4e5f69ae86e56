"""litellm's home of the errors: `from ritellm.exceptions import RateLimitError`."""

from ritellm.errors import *  # noqa: F403
