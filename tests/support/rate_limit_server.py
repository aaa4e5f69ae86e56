"""An Envoy rate limit service on loopback: says no as often as it is told to, then yes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from apache_beam.io.components import rate_limit_pb2 as api
from google.protobuf.duration_pb2 import Duration


class RateLimitServer:
    """`asked` are the requests it got; of each ten `refuses` are over the limit, for a moment."""

    def __init__(self, refuses: int = 0) -> None:
        self.asked: list[Any] = []
        self.granted = 0
        self._refuses = refuses
        # One thread: requests are judged one after the other.
        self._server = grpc.server(ThreadPoolExecutor(1))
        judge = grpc.unary_unary_rpc_method_handler(
            self._judge, api.RateLimitRequest.FromString, api.RateLimitResponse.SerializeToString
        )
        service = "envoy.service.ratelimit.v3.RateLimitService"
        handler = grpc.method_handlers_generic_handler(service, {"ShouldRateLimit": judge})
        self._server.add_generic_rpc_handlers([handler])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def _judge(self, request: Any, _: grpc.ServicerContext) -> Any:
        number = len(self.asked)
        self.asked.append(request)
        if number % 10 < self._refuses:
            over = api.RateLimitResponse.OVER_LIMIT
            wait = Duration(nanos=1_000_000)
            status = api.RateLimitResponse.DescriptorStatus(code=over, duration_until_reset=wait)
            return api.RateLimitResponse(overall_code=over, statuses=[status])
        self.granted += 1
        return api.RateLimitResponse(overall_code=api.RateLimitResponse.OK)

    def __enter__(self) -> RateLimitServer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
