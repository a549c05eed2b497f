# The commands of dipy_synth on a CPU:
#   docker build -t dipy_synth .
#   docker run --rm -v "$PWD:/data" dipy_synth dipy_synth_mri --n_samples 4 --out_dir synthetic
# The tests:
#   docker build --target test .
FROM python:3.12-slim AS base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
WORKDIR /opt/dipy_synth
COPY . .

FROM base AS test
RUN pip install -e ".[test]" && pytest -n auto --dist loadfile

FROM base AS commands
RUN pip install .
WORKDIR /data
CMD ["dipy_synth_mri", "--help"]
