# One image for every process of Corehours; which one it is, the command says.
FROM python:3.11-slim

RUN useradd --uid 10001 --create-home --home-dir /var/lib/corehours corehours
WORKDIR /srv/corehours

# The libraries first: they change seldom.
COPY corehours requirements.txt requirements-dev.txt ./
RUN ./corehours --prepare && rm -rf ~/.cache

COPY . .

ENV COREHOURS_HOME=/var/lib/corehours \
    HOME=/var/lib/corehours \
    PATH=/srv/corehours/.venv/bin:$PATH \
    PYTHONPATH=/srv/corehours \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

USER corehours
VOLUME /var/lib/corehours
EXPOSE 8501 8601
ENTRYPOINT []
CMD ["python", "-m", "dashboard", "--host", "0.0.0.0", "--port", "8501"]
