"""``python -m elastic_jupyter``: the command line, for where no script of it is installed."""

from elastic_jupyter.cli.main import command

command(prog_name="elastic-jupyter")
