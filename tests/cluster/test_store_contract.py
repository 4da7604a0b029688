"""The stores in the API server keep the contract that those in SQLite keep."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from tests.contract.kernel_store import KernelStoreContract
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.rollout import OPERATOR, SYSTEM
from tests.support.team import a_namespace

from elastic_jupyter.store import kubernetes
from elastic_jupyter.store.protocol import KernelStore

#: Of namespaces whose kernels the operator may not touch.
LABEL = "elastic-jupyter-store-contract"
OPERATOR_USER = f"system:serviceaccount:{SYSTEM}:{OPERATOR}"

POLICY = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicy",
    "metadata": {"name": LABEL},
    "spec": {
        "matchConstraints": {
            "namespaceSelector": {"matchExpressions": [{"key": LABEL, "operator": "Exists"}]},
            "resourceRules": [
                {
                    "apiGroups": ["*"],
                    "apiVersions": ["*"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["pods", "secrets", "jupyterkernels/status"],
                }
            ],
        },
        "validations": [
            {
                "expression": f"request.userInfo.username != '{OPERATOR_USER}'",
                "message": "the store is tested here without the operator",
            }
        ],
    },
}
BINDING = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicyBinding",
    "metadata": {"name": LABEL},
    "spec": {"policyName": LABEL, "validationActions": ["Deny"]},
}


@pytest.fixture(scope="module")
def without_operator(cluster: Cluster) -> Iterator[str]:
    """A namespace in which the operator writes nothing: here the tests report the facts."""
    cluster.apply("default", POLICY, BINDING)
    try:
        with a_namespace(cluster, **{LABEL: ""}) as namespace:
            eventually(
                lambda: _why_the_operator_may_not(cluster, namespace),
                lambda said: "without the operator" in said,
                within=60,
                what="the refusal of what the operator writes",
            )
            yield namespace
    finally:
        cluster.kubectl(
            "delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", LABEL
        )


class TestKernelStore(KernelStoreContract):
    #: ``make store-contract`` has as many as the store of one machine.
    many = int(os.environ.get("CONTRACT_OBJECTS") or 50)
    vanishing = 20

    @pytest_asyncio.fixture
    async def store(self, cluster: Cluster) -> AsyncIterator[KernelStore]:
        async with kubernetes.connect() as client:
            yield kubernetes.KubernetesKernelStore(client)

    @pytest.fixture
    def namespace(self, cluster: Cluster, without_operator: str) -> Iterator[str]:
        yield without_operator
        cluster.kubectl("delete", "-n", without_operator, "jupyterkernels", "--all")

    @pytest.fixture
    def address(self) -> str:
        return "kubernetes:"


def _why_the_operator_may_not(cluster: Cluster, namespace: str) -> str:
    try:
        return cluster.kubectl(
            *("create", "secret", "generic", "x", "-n", namespace, "--dry-run=server"),
            *("--as", OPERATOR_USER),
        )
    except AssertionError as error:
        return str(error)
