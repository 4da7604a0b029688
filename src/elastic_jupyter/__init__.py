"""elastic-jupyter: Jupyter kernels that hold a GPU only while they compute."""
