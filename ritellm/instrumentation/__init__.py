"""What a call reports: log records and OpenTelemetry spans."""
