"""Who calls: the notebook that a token was minted for, and what it may reach."""

from dataclasses import dataclass
from typing import Any

from jupyter_server.auth import Authorizer, IdentityProvider, User
from tornado import web

from elastic_jupyter.policy.tokens import NotebookIdentity, verify
from elastic_jupyter.store.protocol import ServedNotebooks


@dataclass
class NotebookUser(User):
    """A Jupyter user that acts for one notebook."""

    notebook: NotebookIdentity | None = None


class TokenIdentityProvider(IdentityProvider):
    """Takes user and notebook from the token, and from nowhere else (jupyter_server 2.21)."""

    master_key: bytes = b""
    notebooks: ServedNotebooks

    @property
    def auth_enabled(self) -> bool:
        """True: there is no way in without a token."""
        return True

    def get_token(self, handler: web.RequestHandler) -> str | None:
        """Return the token of the header ``Authorization``.

        Upstream takes ``?token=`` as well, which proxies log and browsers keep.
        """
        found = self.auth_header_pat.match(handler.request.headers.get("Authorization", ""))
        return found.group(2) if found else None

    async def get_user(self, handler: web.RequestHandler) -> User | None:
        """Return the token's notebook, or None: the request is then refused.

        A token is for ever, so the notebook must still be among those that the operator names.
        Raises 403, with what to do, when it is not.
        """
        identity = verify(self.master_key, self.get_token(handler) or "")
        if identity is None:
            return None
        if not self._serves(identity):
            raise web.HTTPError(
                403,
                f"JupyterNotebook {identity.namespace}/{identity.name} is not served: it was "
                "deleted, or spec.allowedNamespaces of the gateway does not take it",
            )
        # As upstream notes it: no cookie, hence no XSRF check.
        handler._token_authenticated = True  # type: ignore[attr-defined]
        return NotebookUser(username=identity.user, notebook=identity)

    def _serves(self, identity: NotebookIdentity) -> bool:
        # Before the first list handlers answer 503.
        return not self.notebooks.synced.is_set() or identity.uid in self.notebooks.uids


class OwnKernelsOnly(Authorizer):
    """Lets a notebook reach its own kernels; others do not exist for it."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        """Raise 404 for another notebook's kernel, so that ids cannot be guessed."""
        kernel_id = handler.path_kwargs.get("kernel_id")
        if kernel_id is not None and not handler.kernel_manager.owns(user.notebook, kernel_id):
            raise web.HTTPError(404, f"Kernel does not exist: {kernel_id}")
        return True
