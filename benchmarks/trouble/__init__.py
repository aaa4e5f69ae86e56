"""Jobs against a provider that refuses requests, breaks connections or slows down."""
