"""JupyterNotebook: keeps a user's notebook server.

Children: the Secrets with its gateway token and its login, the claim for its files, the Service and
the Deployment. Writes the status. Deletes the kernels of a notebook that is gone: they belong to
the gateway, which may be in another namespace. Woken by the notebook, its children and pods, its
gateway and that one's master key, the labels of its namespace, and each new kernel of it.
"""

import contextlib
import secrets
from collections.abc import Iterable, Iterator, Mapping

from elastic_jupyter.api import names
from elastic_jupyter.api.gateway import JupyterGateway
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.api.notebook import Auth, AuthMode, JupyterNotebook
from elastic_jupyter.errors import AlreadyExists, Forbidden, Invalid, NotFound, StoreError
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import (
    DEPLOYMENT,
    JUPYTER_NOTEBOOK,
    SECRET,
    SERVICE,
    Key,
    Object,
    key_of,
)
from elastic_jupyter.operator import deployment_status, server_pod, storage_claim
from elastic_jupyter.operator.admission import Admission
from elastic_jupyter.operator.children import BLOCKED_RETRY, Children, controller_uid, living_uid
from elastic_jupyter.operator.kernel_index import KernelIndex
from elastic_jupyter.operator.objects import common, storage
from elastic_jupyter.operator.objects import login as logins
from elastic_jupyter.operator.objects import notebook as objects
from elastic_jupyter.operator.objects.gateway import master_key
from elastic_jupyter.operator.objects.notebook import GatewayAccess
from elastic_jupyter.operator.reporter import Reporter
from elastic_jupyter.policy import tokens
from elastic_jupyter.policy.images import Images
from elastic_jupyter.policy.report import READY, Condition, Event
from elastic_jupyter.policy.tokens import NotebookIdentity
from elastic_jupyter.runtime.controller import DONE, Result
from elastic_jupyter.store.parsing import parse
from elastic_jupyter.store.protocol import KernelStore

#: Seconds until a Secret of a user is read again: it does not carry our label and is not followed.
_SECRET_PAUSE = 30.0
_WHEN_DOWN = "its kernels run on until they are idle for long enough"


class NotebookReconciler:
    """Makes JupyterNotebooks true."""

    def __init__(
        self,
        *,
        client: Client,
        store: KernelStore,
        notebooks: Mapping[Key, Object],
        gateways: Mapping[Key, Object],
        secrets: Mapping[Key, Object],
        pods: Mapping[Key, Object],
        kernels: KernelIndex,
        admission: Admission,
        children: Children,
        reporter: Reporter,
        images: Images,
    ) -> None:
        self._client = client
        self._store = store
        self._notebooks = notebooks
        self._gateways = gateways
        self._secrets = secrets
        self._pods = pods
        self._kernels = kernels
        self._admission = admission
        self._children = children
        self._reporter = reporter
        self._images = images

    async def reconcile(self, key: Key) -> Result:
        """Look at one notebook once."""
        found = self._notebooks.get(key)
        if found is not None and found["metadata"].get("deletionTimestamp"):
            found = None
        if found is None:
            await self._delete_kernels_of_others(key, None)
            return DONE  # owner references clean up the rest
        notebook = parse(JupyterNotebook, found)
        said, deployment, result = await self._make_children(key, notebook)
        try:  # last: what keeps them, perhaps in another namespace, must not keep the server
            await self._delete_kernels_of_others(key, found)
        except StoreError as error:
            said.append(Condition("EarlierKernelsDeleted", False, error.reason, str(error)))
            result = Result(BLOCKED_RETRY)
        await self._report(key, notebook, said, deployment)
        return result

    async def _delete_kernels_of_others(self, key: Key, notebook: Object | None) -> None:
        """Delete kernels that an earlier notebook of this name has left."""
        uid = notebook["metadata"]["uid"] if notebook else None
        left = [
            kernel
            for kernel in self._kernels.of_notebook(key)
            if kernel["spec"]["notebookRef"].get("uid") != uid
        ]
        if not left:
            return
        living = await living_uid(self._client, JUPYTER_NOTEBOOK, key)
        for kernel in left:
            if kernel["spec"]["notebookRef"].get("uid") != living:
                await self._tell_notebook_gone(key, kernel)
                await self._store.delete(key_of(kernel), uid=kernel["metadata"]["uid"])

    async def _tell_notebook_gone(self, key: Key, kernel: Object) -> None:
        """Leave a word of why a kernel is deleted: one made by hand may name any notebook."""
        uid = kernel["spec"]["notebookRef"].get("uid")
        text = f"spec.notebookRef: there is no JupyterNotebook {key} with uid {uid}; it is deleted"
        with contextlib.suppress(Invalid):
            seen = parse(JupyterKernel, kernel)
            await self._reporter.tell(seen, Event("Normal", "NotebookGone", text))

    # -- children

    async def _make_children(
        self, key: Key, notebook: JupyterNotebook
    ) -> tuple[list[Condition], Object | None, Result]:
        """Make all children; return what is said of them and the Deployment, if there is one."""
        try:
            access = self._access(notebook)
            if isinstance(access, Condition):
                # A server without its token would show its user no kernels; one that runs, stays.
                return [access], await self._deployment(notebook), DONE
            auth = await self._auth(notebook)
            deployment, remark = await self._apply(notebook, access, auth)
        except NotFound as error:
            text = f"spec.auth.secretRef: {error}"
            failed = Condition(READY, False, "SecretNotFound", text)
            return [failed], await self._deployment(notebook), Result(BLOCKED_RETRY)
        except (AlreadyExists, Invalid, Forbidden) as error:
            failed = Condition(READY, False, error.reason, str(error))
            return [failed], await self._deployment(notebook), Result(BLOCKED_RETRY)
        pods = server_pod.of(self._pods, names.APP_NOTEBOOK, key)
        ready = deployment_status.ready(deployment, pods, when_down=_WHEN_DOWN)
        if remark is not None:
            return [ready, remark], deployment, Result(BLOCKED_RETRY)
        result = Result(_SECRET_PAUSE) if auth and auth.secret_ref else DONE
        return [ready], deployment, result

    async def _deployment(self, notebook: JupyterNotebook) -> Object | None:
        """Return the Deployment that there is already."""
        metadata = notebook.metadata
        key = Key(metadata.namespace or "", metadata.name or "")
        return await self._children.own(DEPLOYMENT, key, owner_uid=metadata.uid)

    async def _apply(
        self, notebook: JupyterNotebook, access: GatewayAccess | None, auth: Auth | None
    ) -> tuple[Object, Condition | None]:
        """Make all children; return the Deployment, and what the claim is not, if anything."""
        children = self._children
        if access is not None:
            await children.apply(
                SECRET, objects.make_gateway_token_secret(notebook, token=access.token)
            )
        else:
            await self._remove_gateway_token(notebook)
        login = logins.login_data(
            auth, await self._stored_login(notebook), fresh=lambda: secrets.token_hex(32)
        )
        await children.apply(SECRET, logins.make_login_secret(notebook, data=login))
        remark = await storage_claim.keep(notebook, children=children, client=self._client)
        await children.apply(SERVICE, objects.make_service(notebook))
        deployment = await children.apply(
            DEPLOYMENT,
            objects.make_deployment(
                notebook, image=self._images.notebook, access=access, login_data=login
            ),
        )
        return deployment, remark

    async def _remove_gateway_token(self, notebook: JupyterNotebook) -> None:
        metadata = notebook.metadata
        name = names.gateway_token_secret_name(metadata.name or "")
        key = Key(metadata.namespace or "", name)
        await self._children.remove(SECRET, key, owner_uid=metadata.uid or "")

    async def _auth(self, notebook: JupyterNotebook) -> Auth | None:
        """Return ``spec.auth`` with what its Secret gives filled in.

        Raises ``NotFound`` when the Secret does not exist, ``Invalid`` when it gives neither or
        something that is no text.
        """
        auth = notebook.spec.auth
        if auth is None or auth.secret_ref is None or auth.mode is AuthMode.DISABLE:
            return auth
        name = auth.secret_ref.name
        secret = await self._client.get(SECRET, notebook.metadata.namespace or "", name)
        given = {}
        for field in ("token", "password"):
            try:
                given[field] = (common.decoded(secret, field) or b"").decode().strip()
            except UnicodeDecodeError:  # not its cause: that has the value in it
                raise Invalid(
                    f"spec.auth.secretRef: key {field} of Secret {name} is not text (UTF-8); "
                    "write it as hex digits or base64"
                ) from None
        if not any(given.values()):
            raise Invalid(f"spec.auth.secretRef: Secret {name} has no key token or password")
        return auth.model_copy(update=given)

    async def _stored_login(self, notebook: JupyterNotebook) -> dict[str, bytes]:
        """Return what the login Secret holds; one that is not ours is a conflict found later."""
        metadata = notebook.metadata
        key = Key(metadata.namespace or "", names.auth_secret_name(metadata.name or ""))
        secret = await self._children.find(SECRET, key)
        if secret is None or controller_uid(secret) != metadata.uid:
            return {}
        values = {name: common.decoded(secret, name) for name in secret.get("data") or {}}
        return {name: value for name, value in values.items() if value is not None}

    # -- the gateway

    def _gateway_key(self, notebook: JupyterNotebook) -> Key:
        reference = notebook.spec.gateway
        assert reference is not None
        return Key(reference.namespace or notebook.metadata.namespace or "", reference.name)

    def _access(self, notebook: JupyterNotebook) -> GatewayAccess | Condition | None:
        """Return the way to the gateway, why there is none, or None when none is named."""
        if notebook.spec.gateway is None:
            return None
        namespace, name = key = self._gateway_key(notebook)
        found = self._gateways.get(key)
        secret = self._secrets.get(Key(namespace, names.master_key_secret_name(name)))
        master = master_key(secret)
        if found is None or master is None:
            text = f"JupyterGateway {key} does not exist, or has no master key to be used"
            return Condition(READY, False, "GatewayNotFound", text)
        gateway = parse(JupyterGateway, found)
        own = notebook.metadata.namespace or ""
        if not self._admission.admits(gateway, own):
            text = (
                f"JupyterGateway {key} does not serve notebooks of namespace {own}: its "
                "spec.allowedNamespaces has to allow it; or name a gateway of this namespace"
            )
            return Condition(READY, False, "GatewayNotAllowed", text)
        metadata = notebook.metadata
        identity = NotebookIdentity(
            namespace=metadata.namespace or "",
            name=metadata.name or "",
            uid=metadata.uid or "",
            user=objects.user_of(notebook),
        )
        return GatewayAccess(
            names.service_url(name, namespace),
            tokens.mint(master, identity),
            tuple(gateway.spec.allowed_env or ()),
        )

    # -- report

    async def _report(
        self,
        key: Key,
        notebook: JupyterNotebook,
        said: Iterable[Condition],
        deployment: Object | None,
    ) -> None:
        await self._reporter.report(
            JUPYTER_NOTEBOOK,
            notebook,
            notebook.status,
            [*said, deployment_status.available(deployment), *self._remarks(notebook)],
            url=names.service_url(key.name, key.namespace) if deployment else None,
            readyReplicas=deployment_status.counts(deployment)["readyReplicas"],
        )

    def _remarks(self, notebook: JupyterNotebook) -> Iterator[Condition]:
        if notebook.spec.gateway is None or notebook.spec.storage is None:
            return
        namespace = self._gateway_key(notebook).namespace
        if storage.shared_claim(notebook) and namespace != notebook.metadata.namespace:
            text = (
                f"kernels run in the gateway's namespace {namespace}, where a volume of namespace "
                f"{notebook.metadata.namespace} cannot be mounted"
            )
            yield Condition("StorageShared", False, "GatewayElsewhere", text)
