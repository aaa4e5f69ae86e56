"""The sums of a budget in Redis, for all workers of a job; each step is one atomic script.

A job cannot continue without Redis: its spending would be unlimited.
"""

from __future__ import annotations

from transforms.budget.accounts import Caps, Reservation
from transforms.connections.redis import (
    PATIENT,
    RedisUnavailable,
    connect,
    errors_as,
    public_address,
)
from transforms.journal.base import Spent

# A reservation of a dead worker is released after this long. A slower request loses its
# reservation, but its cost still counts.
LEASE_SECONDS = 1800

# KEYS: sums, leases. A lease is named "tokens usd unique"; its score is its expiry time.
_FORGET = """
local now = tonumber(redis.call('TIME')[1])
for _, lease in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
  local tokens, usd = string.match(lease, '^(%S+) (%S+) ')
  redis.call('ZREM', KEYS[2], lease)
  redis.call('HINCRBY', KEYS[1], 'held_tokens', '-' .. tokens)
  redis.call('HINCRBYFLOAT', KEYS[1], 'held_usd', '-' .. usd)
end
local function sum(name) return tonumber(redis.call('HGET', KEYS[1], name) or '0') end
"""
# ARGV: the lease, its tokens, its usd, the caps ("" means none), seconds.
_HOLD = (
    _FORGET
    + """
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 1 end  -- sent before; the reply was lost
local tokens = sum('spent_tokens') + sum('held_tokens') + tonumber(ARGV[2])
local usd = sum('spent_usd') + sum('held_usd') + tonumber(ARGV[3])
if (ARGV[4] ~= '' and tokens > tonumber(ARGV[4]))
    or (ARGV[5] ~= '' and usd > tonumber(ARGV[5]) + 1e-9) then
  return redis.call('ZCARD', KEYS[2]) > 0 and 0 or -1
end
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[6]), ARGV[1])
redis.call('HINCRBY', KEYS[1], 'held_tokens', ARGV[2])
redis.call('HINCRBYFLOAT', KEYS[1], 'held_usd', ARGV[3])
return 1
"""
)
# ARGV: the lease, its tokens and usd, the tokens and usd that were spent.
_SETTLE = """
if redis.call('ZREM', KEYS[2], ARGV[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], 'held_tokens', '-' .. ARGV[2])
  redis.call('HINCRBYFLOAT', KEYS[1], 'held_usd', '-' .. ARGV[3])
end
redis.call('HINCRBY', KEYS[1], 'spent_tokens', ARGV[4])
redis.call('HINCRBYFLOAT', KEYS[1], 'spent_usd', ARGV[5])
"""
# ARGV: tokens, usd. The sums of a run are ahead of its journal, never behind.
_RAISE = """
local function raise(name, least)
  if tonumber(redis.call('HGET', KEYS[1], name) or '0') < tonumber(least) then
    redis.call('HSET', KEYS[1], name, least)
  end
end
raise('spent_tokens', ARGV[1])
raise('spent_usd', ARGV[2])
"""


class RedisAccounts:
    """The sums of the job called `name`; raises RedisUnavailable without the server."""

    is_remote = True

    def __init__(
        self, url: str, name: str, *, lease_seconds: int = LEASE_SECONDS, tries: int = PATIENT
    ) -> None:
        self._redis, prefix = connect(url, f"ritellm:{name}", tries)
        self._server = public_address(url)
        self._keys = [f"{prefix}:budget", f"{prefix}:leases"]
        self._hold = self._redis.register_script(_HOLD)
        self._settle = self._redis.register_script(_SETTLE)
        self._raise = self._redis.register_script(_RAISE)
        self._lease_seconds = lease_seconds

    def hold(self, reservation: Reservation, caps: Caps) -> bool | None:
        """Add the reservation and return True if the caps allow it, else None or False."""
        limits = ["" if cap is None else repr(cap) for cap in (caps.tokens, caps.usd)]
        args = [*self._lease(reservation), *limits, self._lease_seconds]
        with errors_as(RedisUnavailable, self._server):
            held = self._hold(keys=self._keys, args=args)
        return {1: True, 0: None, -1: False}[held]

    def settle(self, reservation: Reservation, spent: Spent) -> None:
        """Remove the reservation, and add `spent`."""
        args = [*self._lease(reservation), spent.tokens, _decimal(spent.usd)]
        with errors_as(RedisUnavailable, self._server):
            self._settle(keys=self._keys, args=args)

    def raise_to(self, spent: Spent) -> None:
        """Raise the sums to at least `spent`."""
        with errors_as(RedisUnavailable, self._server):
            self._raise(keys=self._keys, args=[spent.tokens, _decimal(spent.usd)])

    def spent(self) -> Spent:
        """Return the spending so far, of all workers and all runs."""
        with errors_as(RedisUnavailable, self._server):
            tokens, usd = self._redis.hmget(self._keys[0], "spent_tokens", "spent_usd")
        return Spent(int(tokens or 0), float(usd or 0))

    def _lease(self, reservation: Reservation) -> tuple[str, int, str]:
        tokens, usd = reservation.held.tokens, _decimal(reservation.held.usd)
        return f"{tokens} {usd} {reservation.name}", tokens, usd


def _decimal(usd: float) -> str:
    return f"{usd:.12f}"
