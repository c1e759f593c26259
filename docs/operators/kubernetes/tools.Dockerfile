FROM python:3.12-slim
# A wheel of a checkout (`pip wheel --no-deps -w wheels .`), until there is a release.
COPY wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl && rm -rf /wheels
COPY --from=moby/buildkit:v0.32.2 /usr/bin/buildctl /usr/local/bin/buildctl
