"""Image-level labels to segmentation masks with explainable Vision Transformers.

The library behind the Snakemake pipeline; it knows nothing of Snakemake. Sub-packages stand in the order data flows:
``io``, ``params``, ``data``, ``models``, ``explain``, ``refine``, ``train``, ``evaluate``, ``report``, ``tracking``.
"""

__version__ = "0.2.0"
