# The commands of dipy_synth on a CPU:
#   docker build -t dipy_synth .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" dipy_synth \
#       dipy_synth_mri --n_samples 4 --out_dir synthetic
# The tests:
#   docker build --target test .
FROM python:3.12-slim AS base
# /tmp as HOME: caches are written whoever the user is. NOUSERSITE: Apptainer mounts
# the user's own home, whose packages would be imported first.
ENV HOME=/tmp PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore PYTHONNOUSERSITE=1 PYTHONUNBUFFERED=1
WORKDIR /opt/dipy_synth
# The dependencies alone: a change of the code leaves this layer in the build's cache.
# joblib ends its workers by psutil where there is no pgrep.
COPY pyproject.toml .
RUN python -c 'import tomllib; \
    project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
    print(*project["dependencies"], sep="\n")' | pip install psutil -r /dev/stdin
COPY . .

FROM base AS test
RUN pip install -e ".[test]" && pytest -n auto --dist loadfile

FROM base AS commands
RUN pip install .
WORKDIR /data
CMD ["dipy_synth_mri", "--help"]
