"""``elastic-jupyter demo``: two users share one GPU, and each step is checked.

``story.py`` tells it. ``user.py`` is one ``elastic-jupyter up``, ``front_end.py`` what a browser
tab is to a notebook server. Of this project it imports ``errors``, and ``local.proc`` to see which
kernels run; all else goes over the notebook servers' REST API and websockets.
"""
