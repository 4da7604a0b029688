"""JupyterLab in a pod: what it is updated by is a new image, so it need not ask for news."""

c = get_config()  # noqa: F821  # given by traitlets

c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.news_url = None
