"""What docs/how-to/snapshots.md says of a bucket, on a real S3 server."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from s3fs import S3FileSystem

from elastic_jupyter.api.gateway import JupyterGateway
from elastic_jupyter.operator.objects import gateway as objects
from elastic_jupyter.policy.images import Images
from elastic_jupyter.store.snapshots import SnapshotStore
from tests.support import s3_server
from tests.support.walkthrough import Block, blocks

PAGE = Path("docs", "how-to", "snapshots.md")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server.s3_server(tmp_path_factory.mktemp("moto")) as address:
        yield address


def block(language: str, mark: str) -> Block:
    return next(one for one in blocks(PAGE) if one.language == language and mark in one.text)


def container_of(gateway: dict[str, Any]) -> dict[str, Any]:
    """Return the container that the operator makes of a JupyterGateway in the namespace ``ns``."""
    metadata = {**gateway["metadata"], "namespace": "ns", "uid": "uid"}
    deployment = objects.make_deployment(
        JupyterGateway.model_validate({**gateway, "metadata": metadata}),
        image="image",
        ours=Images(gateway="gateway", notebook="notebook", kernel="kernel"),
        master_digest="digest",
        service_account_uid="uid",
    )
    container: dict[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    return container


def test_a_gateway_saves_in_its_folder_with_what_the_secret_holds(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, gateway = yaml.safe_load_all(block("yaml", "s3://").text)
    container = container_of(gateway)
    assert container["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in secret["stringData"].items():
        monkeypatch.setenv(name, value.replace("https://s3.example.com", s3))
    values = {one["name"]: one.get("value") for one in container["env"]}
    client = s3_server.client(s3)
    client.create_bucket(Bucket="variables")
    S3FileSystem.clear_instance_cache()
    store = SnapshotStore(
        values["ELASTIC_JUPYTER_SNAPSHOTS"],
        key=b"a key of the gateway's",
        max_bytes=int(values["ELASTIC_JUPYTER_MAX_SNAPSHOT_BYTES"]),
    )
    store.save("uid-of-a-kernel", 1).seal(b'{"blobs": []}')
    [saved] = client.list_objects_v2(Bucket="variables")["Contents"]
    assert saved["Key"].startswith("jupyter/ns/research/uid-of-a-kernel/1-")


def test_the_rule_that_ends_unfinished_uploads_is_one_of_s3(s3: str) -> None:
    rule = json.loads(block("json", "AbortIncompleteMultipartUpload").text)
    client, bucket = s3_server.client(s3), s3_server.new_bucket(s3)
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=rule)
    assert client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == rule["Rules"]
