"""Write the CRDs: ``python -m elastic_jupyter.api.generate [--check] [--directory deploy/crds]``.

Needs PyYAML, a development dependency.
"""

import argparse
import sys
from pathlib import Path

import yaml

from elastic_jupyter.api.gateway import JupyterGateway
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.api.kerneltemplate import JupyterKernelTemplate
from elastic_jupyter.api.notebook import JupyterNotebook
from elastic_jupyter.api.schema import custom_resource_definition

KINDS = (
    JupyterNotebook,
    JupyterGateway,
    JupyterKernelSpec,
    JupyterKernelTemplate,
    JupyterKernel,
)
_HEADER = (
    "# Made by `python -m elastic_jupyter.api.generate`; edit src/elastic_jupyter/api instead.\n"
)


class _Dumper(yaml.SafeDumper):
    """YAML without anchors, which a reader of a CRD does not expect."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def files() -> dict[str, str]:
    """Return the content of each CRD file by its name."""
    return {
        f"{kind.plural}.yaml": _HEADER
        + yaml.dump(custom_resource_definition(kind), Dumper=_Dumper, sort_keys=False, width=100)
        for kind in KINDS
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with ``--check`` return 1 when one differs."""
    parser = argparse.ArgumentParser(description="Write the CustomResourceDefinitions.")
    parser.add_argument("--check", action="store_true", help="only compare; 1 when one differs")
    parser.add_argument("--directory", type=Path, default=Path("deploy/crds"))
    options = parser.parse_args(arguments)
    differing = []
    for name, content in files().items():
        path = options.directory / name
        if path.exists() and path.read_text() == content:
            continue
        differing.append(path)
        if not options.check:
            path.write_text(content)
    for path in differing:
        print(f"{path} {'differs' if options.check else 'written'}", file=sys.stderr)
    return 1 if options.check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
