# The environment of requirements.lock; the code is that of the clone mounted at /work (docs/install.md).
FROM python:3.11-slim-bookworm

# The dense CRF is compiled while it is installed.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ git make \
    && rm -rf /var/lib/apt/lists/*

COPY requirements.lock /tmp/requirements.lock
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /tmp/requirements.lock \
    && rm /tmp/requirements.lock

# Snakemake, MLflow and Matplotlib keep caches at home, also for a user who has none.
ENV HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib PYTHONPATH=/work/src:/work/plugins
WORKDIR /work
CMD ["snakemake", "--cores", "all"]
