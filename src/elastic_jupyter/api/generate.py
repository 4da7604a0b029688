"""Write CRDs and reference: ``python -m elastic_jupyter.api.generate [--check] [--root .]``.

Writes ``deploy/crds`` and ``docs/reference`` from the models; each page of the reference shows the
kind's manifest in ``examples/minimal``. Needs PyYAML, a development dependency.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from elastic_jupyter.api import reference
from elastic_jupyter.api.conditions import CONDITIONS
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


def files(root: Path) -> dict[Path, str]:
    """Return the content of each file by its path below ``root``, the repository.

    Reads the examples. Raises ``OSError`` when a kind has none.
    """
    made = {}
    for kind in KINDS:
        definition = custom_resource_definition(kind)
        made[Path("deploy", "crds", f"{kind.plural}.yaml")] = _HEADER + yaml.dump(
            definition, Dumper=_Dumper, sort_keys=False, width=100
        )
        name = kind.__name__.lower()
        made[Path("docs", "reference", f"{name}.md")] = reference.page(
            definition,
            example=(root / "examples" / "minimal" / f"{name}.yaml").read_text(),
            conditions=CONDITIONS[kind.__name__],
        )
    return made


def main(
    arguments: list[str] | None = None, *, files: Callable[[Path], Mapping[Path, str]] = files
) -> int:
    """Write the files, or with ``--check`` return 1 when one differs.

    ``files``: what makes them of the repository's path, where it is not those of the kinds.
    """
    parser = argparse.ArgumentParser(description="Write what is made from the sources.")
    parser.add_argument("--check", action="store_true", help="only compare; 1 when one differs")
    parser.add_argument("--root", type=Path, default=Path(), help="the repository")
    options = parser.parse_args(arguments)
    differing = []
    for name, content in files(options.root).items():
        path = options.root / name
        if path.exists() and path.read_text() == content:
            continue
        differing.append(path)
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    for path in differing:
        print(f"{path} {'differs' if options.check else 'written'}", file=sys.stderr)
    return 1 if options.check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
