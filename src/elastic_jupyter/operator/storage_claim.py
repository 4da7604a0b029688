"""The claim for a notebook's files: made once, grown when asked to, and never anybody else's.

It is not applied as other children are: most of a claim can never change, its size belongs to
whoever resizes volumes, and the files in it to the user.
"""

from elastic_jupyter.api.notebook import JupyterNotebook
from elastic_jupyter.errors import AlreadyExists, Forbidden, Invalid, NotFound
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import PERSISTENT_VOLUME_CLAIM, Object, key_of
from elastic_jupyter.operator.children import FIELD_MANAGER, Children, covers
from elastic_jupyter.operator.objects import storage
from elastic_jupyter.policy.report import Condition

_APPLIED = "StorageApplied"


async def keep(
    notebook: JupyterNotebook, *, children: Children, client: Client
) -> Condition | None:
    """Make the claim, or let it grow; return what it is not, None: it is as ``spec.storage`` asks.

    Raises ``AlreadyExists`` when its name is somebody else's, and whatever keeps it from being
    made. That it cannot be changed is no error: the notebook has its files all the same.
    """
    wanted = storage.make_claim(notebook) if notebook.spec.storage else None
    if wanted is None:
        return None
    claim = await children.make_once(PERSISTENT_VOLUME_CLAIM, wanted)
    what = f"{PERSISTENT_VOLUME_CLAIM} {key_of(claim)}"
    if not covers(claim["metadata"].get("labels") or {}, wanted["metadata"]["labels"]):
        raise AlreadyExists(
            f"{what} exists already and was not made for this notebook: name it in "
            "spec.storage.claimName, in place of size, to use it; or delete or rename it"
        )
    refused = await _grow(what, claim, storage.growth(notebook, claim), client=client)
    never = list(storage.unreachable(notebook, claim))
    if never:
        text = f"{what} cannot become what is asked: {'; '.join(never)}"
        text += "; ask for what it is, or name another one in spec.storage.claimName"
        return Condition(_APPLIED, False, "CannotChange", text)
    return refused


async def _grow(what: str, claim: Object, size: str | None, *, client: Client) -> Condition | None:
    """Let the claim ask for ``size``; return what the API server, which knows the class, says."""
    if size is None:
        return None
    metadata = claim["metadata"]
    body = {
        # Somebody may have made it still larger.
        "metadata": {"resourceVersion": metadata["resourceVersion"]},
        "spec": {"resources": {"requests": {"storage": size}}},
    }
    try:
        await client.patch(
            PERSISTENT_VOLUME_CLAIM,
            metadata["namespace"],
            metadata["name"],
            body,
            field_manager=FIELD_MANAGER,
        )
    except NotFound:
        return None  # deleted meanwhile; its end wakes the notebook
    except (Forbidden, Invalid) as error:
        text = f"spec.storage.size: {what} stays at {storage.size(claim)} in place of {size}"
        return Condition(_APPLIED, False, error.reason, f"{text}: {error}")
    return None
