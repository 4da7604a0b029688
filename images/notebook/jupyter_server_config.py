"""Settings of the notebook image that depend on how its pod was started."""

import os

c = get_config()  # noqa: F821  # given by traitlets

# The operator sets this for `spec.auth.mode: disable`. An empty JUPYTER_TOKEN is not enough: the
# server takes that for an unset one, and makes a token up.
if os.environ.get("ELASTIC_JUPYTER_AUTH") == "disable":
    c.IdentityProvider.token = ""
