# The app on a server of one's own; docs/deploy.md says how to build, run, back up and update it.
FROM python:3.12-slim

WORKDIR /app

# The packages first: Docker keeps their layer as long as only the app itself changes.
COPY requirements.txt ./
COPY deploy/community_cloud/requirements.txt deploy/community_cloud/
RUN pip install --no-cache-dir -r deploy/community_cloud/requirements.txt

COPY app.py presets.yaml LICENSE ./
COPY .streamlit/config.toml .streamlit/
COPY slm_core slm_core
COPY pages pages

# Runs, and beside them the texts that somebody has fetched, outlive the container in the volume /data. The
# app's user may write there and at home, and nowhere else.
RUN useradd --create-home --uid 10001 slm && mkdir -p /data/runs && chown -R slm /data
USER slm
VOLUME /data
ENV SLM_RUNS=/data/runs
ENV SLM_PROFILE=classroom

EXPOSE 8501
# Not urllib: it would ask the proxy that many a university hands to its containers.
HEALTHCHECK --start-period=60s --interval=30s --timeout=10s \
    CMD python -c "from http.client import HTTPConnection; \
        server = HTTPConnection('127.0.0.1', 8501, timeout=5); \
        server.request('GET', '/_stcore/health'); \
        exit(server.getresponse().status != 200)"

# Given no name to print, Streamlit would ask the web for this machine's address at each start.
ENTRYPOINT ["streamlit", "run", "app.py", "--server.headless", "true", "--server.address", "0.0.0.0", \
    "--server.port", "8501", "--browser.serverAddress", "localhost"]
