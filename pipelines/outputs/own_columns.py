"""The names of the columns that each row of completions has, for a command line without Beam."""

from __future__ import annotations

OWN_COLUMNS = frozenset(
    "answer_mode answer_stripped attempts cached_tokens completion completion_tokens cost_usd"
    " ended_at error_type finish_reason id input inter_chunk_p50 inter_chunk_p95 message model"
    " other_answer other_input prompt_tokens reasks reasoning reasoning_tokens retryable seconds"
    " shared status_code submission text timing tool_calls total_tokens truncated ttft usage"
    " waste_estimated wasted_cost_usd wasted_tokens".split()
)
# Those that only completions with answers have.
ANSWER_COLUMNS = ("reasks", "answer_mode", "answer_stripped")
