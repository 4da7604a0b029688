"""The command ``elastic-jupyter``. Start with ``main.py``; a file each command.

On top of all other packages. No command asks which engine it works on: ``store.stores`` knows.
"""
