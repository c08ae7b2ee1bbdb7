"""A real S3 server in this process: moto's, on loopback."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock
from urllib.parse import parse_qs, quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


@contextmanager
def bucket() -> Iterator[str]:
    """Serve an empty bucket, with its credentials in the environment; gives its URL for ``HOOKLINE_BLOBS``."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    try:
        with mock.patch.dict(os.environ, _CREDENTIALS):
            boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="hookline")
            yield f"s3://hookline/large/files?endpoint={quote(endpoint, safe='')}"
    finally:
        server.stop()


def objects(url: str) -> list[int]:
    """The sizes of what is in the bucket."""
    import boto3

    (endpoint,) = parse_qs(urlsplit(url).query)["endpoint"]
    found = boto3.client("s3", endpoint_url=endpoint).list_objects_v2(Bucket="hookline")
    return [int(each["Size"]) for each in found.get("Contents", [])]
