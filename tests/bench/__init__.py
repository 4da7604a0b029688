"""Benchmarks on a real cluster, side by side with what they are compared to.

``python -m tests.bench [--rounds N] [start] [roundtrip] [memory]`` prints JSON and exits with 1
if a figure is beyond its limit. Start reading in ``__main__``; ``inside`` runs in a pod.
Absolute times are of the machine; the ratios count.
"""
