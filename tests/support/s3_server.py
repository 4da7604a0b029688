"""A real S3 server on loopback: moto's, in a process of its own."""

import contextlib
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.session import get_session
from s3fs import S3FileSystem

#: What a client has in its environment; the server takes any.
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Run one; yields its address. It writes its log into ``folder``."""
    log = folder / "moto.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield _address(log)
    finally:
        server.kill()
        server.wait()


def _address(log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"no S3 server within 60 s: {log.read_text()}")


def environment(address: str) -> dict[str, str]:
    """Return what a process has in its environment that uses this server."""
    return {**_CREDENTIALS, "AWS_ENDPOINT_URL": address}


def use(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process use a server from now on, as a gateway does by its environment."""
    S3FileSystem.clear_instance_cache()
    for name, value in environment(address).items():
        monkeypatch.setenv(name, value)


def new_bucket(address: str) -> str:
    """Make a bucket, and return its name."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    client(address).create_bucket(Bucket=name)
    return name


def client(address: str):  # type: ignore[no-untyped-def]  # botocore has no types
    """Return a client of the server that is none of ours."""
    return get_session().create_client(
        "s3",
        endpoint_url=address,
        aws_access_key_id="any",
        aws_secret_access_key="any",
        region_name="us-east-1",
    )
