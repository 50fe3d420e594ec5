"""What the outbox does when somebody wants a node looked at: `node.look` reads the key it shows and, once that was confirmed, what it
has; `node.test` the same of a node that we have. Whoever asked is watching: what goes wrong is told once, not tried again.
"""

from __future__ import annotations

from engine.gpu_readings import BadReading
from engine.looks import Look, Stage
from engine.outbox import Job
from engine.provisioning import NodeTrouble
from engine.services.looks import note_key, note_seen, note_trouble
from engine.ssh_keys import BadPublicKey
from webhooks.jobs import ACTOR, Context


def look(job: Job, context: Context) -> str:
    """`node.look` and `node.test`: done already where the answer stands there."""
    id = job.word("look")
    found = context.store.read(lambda tx: tx.looks.get(id))
    assert found is not None
    try:
        if found.stage is Stage.ASKING:
            return _key(found, context)
        if found.stage is Stage.PROBING:
            return _probe(found, context)
    except (NodeTrouble, BadReading, BadPublicKey) as trouble:
        why = trouble.sentence
        context.store.run(lambda tx: note_trouble(tx, id, why), actor=ACTOR)
        return why
    return "it was looked at before"


def _key(found: Look, context: Context) -> str:
    key = context.nodes().host_key(found.host, found.port)
    context.store.run(lambda tx: note_key(tx, found.id, key), actor=ACTOR)
    return f"{found.host}:{found.port} shows {key.fingerprint}"


def _probe(found: Look, context: Context) -> str:
    probe = context.nodes().probe(found.address)
    seen = context.store.run(lambda tx: note_seen(tx, found.id, probe), actor=ACTOR)
    return seen.trouble or f"{found.name} has {len(probe.gpus)} GPUs"
