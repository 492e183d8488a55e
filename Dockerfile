ARG BASE=python:3.11-slim

# Wheels are built where compilers and caches may lie around; only what was installed goes on.
FROM ${BASE} AS build
WORKDIR /src
RUN python -m venv /opt/venv
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY cidadao_rt ./cidadao_rt
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check .

FROM ${BASE}
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin cidadao
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CIDADAO_RT_SERVER__HOST=0.0.0.0
# A configuration may be mounted here as config.toml; secrets come from the environment (JWT_SECRET_KEY).
WORKDIR /app
USER cidadao
EXPOSE 8080
# Asks the port that the environment configures, past any proxy; the certificate is for others to check.
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 CMD ["python", "-c", "\
import os, ssl, urllib.request as u;\
e = os.environ.get;\
s = 's' * bool(e('CIDADAO_RT_SERVER__TLS_CERT'));\
p = e('CIDADAO_RT_SERVER__PORT') or e('PORT') or '8080';\
o = u.build_opener(u.ProxyHandler({}), u.HTTPSHandler(context=ssl._create_unverified_context()));\
o.open(f'http{s}://127.0.0.1:{p}/healthz', timeout=4).close()"]
# In exec form, so that SIGTERM arrives and the server drains.
CMD ["python", "-m", "cidadao_rt"]
