"""The five kinds of kubeflow.tkestack.io/v1alpha1 and the names around them.

One module a kind, each with the models of its spec and status; ``base`` holds what they share.
``names`` is where names, labels and paths are fixed. ``schema`` turns a model into a CRD, and
``python -m elastic_jupyter.api.generate`` writes ``deploy/crds``. Imports nothing else of ours.
"""
